//! Links that are lost and names that are taken: who comes back by itself, who gives up, and when.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Exposer, Forwarder, Process, Relay, Socket, command, echo, eventually, expose_command, frame,
    is_in_container, measured, public_relay, scaled, service,
};

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    crate::harness::free_ports(1).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).next().unwrap()
}

pub fn expect_echo(at: SocketAddr) {
    let mut visitor = Socket::connect(at);
    visitor.send("hello");
    visitor.expect("hello");
}

#[test]
fn a_relay_that_is_killed_and_started_again_gets_everything_back() {
    let (mut relay, ports) = public_relay(20, &[]);
    let listen = relay.address().to_string();
    let range = format!("{}-{}", ports.start(), ports.end());
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "web");
    let public = exposer.public("web");
    let mut stream = forwarder.connect();
    stream.send("before");
    stream.expect("before");
    for round in 1..=2 {
        relay.process.kill();
        stream.receive_all();
        exposer.logged(&["WARN", "not exposed for now", "service=web", "retry_in="]);
        // A visitor that comes meanwhile waits.
        let mut early = forwarder.connect();
        early.send("early");
        forwarder.logged(&["WARN", "cannot open a stream; trying again"]);
        relay = Relay::listening(&listen, &["--public-ports", &range]);
        exposer.announced("web", 1 + round);
        // Of twenty ports it has the same.
        assert_eq!(exposer.public("web"), public);
        expect_echo(public);
        if round == 1 {
            // The name may be unknown to the new relay at first, which a visitor is told; the next ones are served.
            drop(early);
        }
        expect_echo(forwarder.address());
        forwarder.logged(&["INFO", "the relay is reached again"]);
    }
    assert_eq!(exposer.process.stderr().matches("INFO exposed").count(), 3);
}

#[test]
fn a_visitor_of_forward_waits_for_a_relay_that_is_not_there_yet() {
    let address = nobody();
    let forwarder = Forwarder::to(address, "web", &["--retry-for", "20s"]);
    let mut visitor = forwarder.connect();
    visitor.send("hello");
    forwarder.logged(&["cannot open a stream; trying again"]);
    let relay = Relay::listening(&address.to_string(), &[]);
    // With --retry-for a name that nobody has yet is waited for, too.
    let _exposer = Exposer::start(&relay, "web", echo());
    visitor.expect("hello");
}

/// Requires that a program which was started or cut off at `since` gives up with these words, and says when and what it logged.
fn gives_up(mut process: Process, since: Instant, words: &str) -> (Duration, String) {
    process.expect_exit(1);
    let took = since.elapsed();
    let log = process.stderr();
    assert!(log.contains(words), "{log}");
    (took, log)
}

/// Requires that `expose` tries for so long and then gives up. How long the tries themselves take is the machine's business.
fn tries_for(limit: Duration, process: Process, since: Instant) {
    let (took, log) = gives_up(process, since, "refused the connection");
    assert!(took >= limit, "{took:?} in place of {limit:?}");
    let after_loss = log.rsplit("INFO exposed").next().unwrap();
    let pauses: Duration = after_loss.split("retry_in=").skip(1).map(pause).sum();
    assert!(pauses <= limit, "pauses of {pauses:?} in place of {limit:?}: {log}");
}

/// The time at the beginning of the text, as the log has it.
fn pause(text: &str) -> Duration {
    let text = text.split_whitespace().next().unwrap();
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[number.len()..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        other => panic!("{other:?} is no unit"),
    };
    Duration::from_secs_f64(number.parse::<f64>().unwrap() * unit)
}

#[test]
fn retry_for_bounds_the_time_without_a_relay() {
    let address = nobody();
    // Neither before nor a whole further pause later, however long those have become.
    for limit in ["0s", "4s"] {
        let mut command = expose_command(address, ["web", "127.0.0.1:1"]);
        command.args(["--retry-for", limit]);
        let since = Instant::now();
        tries_for(pause(limit), Process::spawn(command), since);
    }
    let forward = ["forward", "web", "-", "--retry-for", "2s", "--relay", &address.to_string()];
    let limit = Duration::from_secs(2);
    measured(limit, limit + Duration::from_millis(1200), || {
        let since = Instant::now();
        gives_up(Process::spawn(command(forward)), since, "refused the connection").0
    });
}

#[test]
fn retry_for_starts_anew_with_every_link() {
    let mut relay = Relay::start();
    let address = echo();
    let exposer = Exposer::with(&relay, ["web", &address.to_string(), "--retry-for", "1s"]);
    // It has been up for longer than it may be down.
    thread::sleep(Duration::from_millis(1200));
    let since = Instant::now();
    relay.process.kill();
    tries_for(Duration::from_secs(1), exposer.process, since);
}

#[test]
fn a_name_that_is_taken_is_a_sentence_unless_it_is_waited_for() {
    let relay = Relay::start();
    let first = Exposer::start(&relay, "web", echo());
    let address = echo().to_string();
    let mut second = Process::spawn(expose_command(relay.address(), ["web", &address]));
    second.expect_exit(1);
    assert!(second.stderr().contains("the name web is taken at"), "{}", second.stderr());
    let mut waits = expose_command(relay.address(), ["web", &address]);
    waits.args(["--retry-for", "20s"]);
    let waits = Process::spawn(waits);
    waits.expect_stderr("not exposed for now");
    drop(first);
    waits.expect_stdout(" is reached ");
}

#[test]
fn an_exposer_that_is_killed_leaves_its_name_and_port_at_once() {
    let (relay, ports) = public_relay(1, &[]);
    let address = echo().to_string();
    for _ in 0..5 {
        let port = ports.start().to_string();
        let mut exposer = Exposer::with(&relay, ["web", &address, "--port", &port]);
        expect_echo(exposer.public("web"));
        exposer.process.kill();
        let since = Instant::now();
        relay.logged(&["no longer exposed", "service=web"]);
        eventually("the name and the port are free", || {
            let mut control = relay.connect();
            let hello = format!(r#"{{"hello":2,"expose":"web","port":{port}}}"#);
            control.send(frame(b"", hello.as_bytes()));
            control.control()["exposed"] == "web"
        });
        // Who says nothing has it for 14 s.
        assert!(since.elapsed() < scaled(8000), "{:?}", since.elapsed());
        // The engine of a container holds every port that is published.
        let is_free = || is_in_container() || TcpListener::bind(("127.0.0.1", *ports.start())).is_ok();
        eventually("that one is gone, too", is_free);
    }
}

#[test]
fn another_program_of_the_same_owner_takes_the_service_over() {
    let (relay, ports) = public_relay(1, &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("owner");
    std::fs::write(&file, "the owner's own secret\n").unwrap();
    let mine = |name: &'static str| {
        let address = service(move |mut socket| drop(socket.0.write_all(name.as_bytes())));
        let port = ports.start().to_string();
        let mut command = expose_command(relay.address(), ["web", &address.to_string(), "--port", &port]);
        if name == "first" {
            command.env("RELAY_OWNER", "the owner's own secret");
        } else {
            command.arg("--owner-file").arg(&file);
        }
        let process = Process::spawn(command);
        process.expect_stdout(" is reached at ");
        process
    };
    let public = ([127, 0, 0, 1], *ports.start()).into();
    let mut first = mine("first");
    assert_eq!(Socket::connect(public).receive_all(), b"first");
    let _second = mine("second");
    first.expect_exit(1);
    assert!(first.stderr().contains("another program of the same owner"), "{}", first.stderr());
    assert_eq!(Socket::connect(public).receive_all(), b"second");
    let mut stranger = expose_command(relay.address(), ["web", "127.0.0.1:1"]);
    stranger.env("RELAY_OWNER", "the secret of somebody else");
    let mut stranger = Process::spawn(stranger);
    stranger.expect_exit(1);
    assert!(stranger.stderr().contains("the name web is taken"), "{}", stranger.stderr());
}

#[test]
fn an_exposer_takes_its_own_name_back_before_the_relay_has_noticed_the_loss() {
    let relay = Relay::start();
    let at = relay.address();
    // A way to the relay that can be cut at one end: the relay sees nothing of it.
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = echo().to_string();
    let exposer = Process::spawn(expose_command(way.local_addr().unwrap(), ["web", &address]));
    let (first, _) = way.accept().unwrap();
    let onward = std::net::TcpStream::connect(at).unwrap();
    pump(&first, &onward);
    pump(&onward, &first);
    exposer.expect_stdout(" is reached ");
    let _relay_side = onward.try_clone().unwrap();
    // Only the exposer's end is closed.
    cut(&first);
    thread::spawn(move || {
        for stream in way.incoming().map_while(Result::ok) {
            let onward = std::net::TcpStream::connect(at).unwrap();
            pump(&stream, &onward);
            pump(&onward, &stream);
        }
    });
    exposer.wait_stdout("a second announcement", |text| {
        (text.matches(" is reached ").count() == 2).then_some(())
    });
    assert!(!exposer.stderr().contains("is taken"), "{}", exposer.stderr());
    relay.logged(&["no longer exposed", "its owner has registered the name anew"]);
}

/// Carries bytes one way; the end is not passed on.
fn pump(from: &std::net::TcpStream, to: &std::net::TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from, &mut to));
}

fn cut(stream: &std::net::TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

#[test]
#[cfg(target_os = "linux")]
fn a_link_that_is_cut_without_a_word_frees_the_name_and_is_made_again() {
    let Some(machines) = crate::harness::Machines::new() else { return };
    // With the relay's own deadlines, but for that of a registration: this test asks for the name again and again, and on a busy machine
    // one of its many questions may come late.
    let relay = machines.relay(&["--register-timeout=20s"]);
    let far = machines.spawn_far(&expose_command(relay.address(), ["web", "127.0.0.1:1"]));
    far.expect_stdout(" is reached ");
    let since = Instant::now();
    machines.cut_the_cable();
    let mut control = None;
    eventually("the name is free", || {
        let mut socket = machines.connect_near(relay.address());
        socket.send(frame(b"", br#"{"hello":2,"expose":"web"}"#));
        control = (socket.control()["exposed"] == "web").then_some(socket);
        control.is_some()
    });
    // After 14 s of the system's questions, and clearly before the 30 s of silence that the protocol allows.
    assert!(since.elapsed() < Duration::from_secs(28), "{:?}", since.elapsed());
    drop(control);
    // The exposer notices by itself: a ping each five seconds, and ten for the pong.
    far.expect_stderr("not exposed for now");
    machines.mend_the_cable();
    far.wait_stdout("a second announcement", |text| {
        (text.matches(" is reached ").count() == 2).then_some(())
    });
}

#[test]
fn connect_timeout_bounds_the_wait_for_an_answer() {
    // It accepts, and says nothing.
    let silent =
        service(|mut socket| drop(socket.0.read(&mut [0; 1000]).and_then(|_| socket.0.read(&mut [0]))));
    let relay = silent.to_string();
    let timeout = ["--connect-timeout", "300ms", "--retry-for", "0s", "--relay", &relay];
    for words in [&["expose", "web", "127.0.0.1:1"][..], &["forward", "web", "-"]] {
        // The default is 5 s.
        measured(Duration::from_millis(300), Duration::from_secs(4), || {
            let process = command(words.iter().chain(&timeout));
            let since = Instant::now();
            gives_up(Process::spawn(process), since, "did not answer").0
        });
    }
}
