//! What goes wrong at the ends: services and visitors that fail, and a relay that is stopped.

use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Exposer, Forwarder, Process, Relay, Service, Socket, command, echo, eventually, expose_command,
        measured, option, pattern, public_relay, scaled, service,
    },
    tunnel_reconnect::{expect_echo, nobody},
};

#[test]
fn a_service_that_is_down_closes_at_once_says_why_and_serves_when_it_is_up() {
    let (relay, _) = public_relay(1, &["--open-timeout", "10m"]);
    let address = nobody();
    let exposer = Exposer::with(&relay, ["web", &address.to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "web");
    for at in [exposer.public("web"), forwarder.address()] {
        // In ten minutes the test would have given up.
        assert_eq!(Socket::connect(at).receive_all(), b"");
    }
    exposer.logged(&["WARN", "visitor was turned away", "service=web", &format!("{address} refused")]);
    // Wine shows the reset as an end in order.
    if !crate::harness::is_wine() {
        forwarder.logged(&[
            "WARN",
            "visitor was turned away",
            "service=web",
            "before it sent anything",
            "`relay expose`",
        ]);
    }
    let up = Service::at(address);
    for at in [exposer.public("web"), forwarder.address()] {
        let mut visitor = Socket::connect(at);
        visitor.send("hello");
        up.accept().expect("hello");
    }
}

#[test]
fn forward_turns_visitors_away_and_says_why() {
    let relay = Relay::start();
    let forwarder = Forwarder::start(&relay, "nobody");
    assert_eq!(forwarder.connect().receive_all(), b"");
    forwarder.logged(&["WARN", "visitor was turned away", "nobody exposes a service named nobody"]);
    assert!(!forwarder.process.stderr().contains("trying again"), "{}", forwarder.process.stderr());
}

#[test]
fn forward_asks_before_it_says_that_it_listens_and_ends_where_it_is_refused() {
    const TOKEN: &str = "a token for everything";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    let text = format!("[tokens]\nall = \"{TOKEN}\"\n[[rules]]\ntokens = [\"all\"]\nopen = [\"web\"]\n");
    std::fs::write(&file, text).unwrap();
    let relay = Relay::with(&["--config", file.to_str().unwrap()]);
    for (name, token, words) in [
        ("web", None, "asks for a token; set RELAY_TOKEN"),
        ("web", Some("another token altogether"), "check the token"),
        ("mail", Some(TOKEN), "do not allow the name mail"),
    ] {
        let mut forward = command(["forward", name, "0", "--relay", &relay.address().to_string()]);
        token.map(|token| forward.env("RELAY_TOKEN", token));
        let mut forward = Process::spawn(forward);
        forward.expect_exit(1);
        assert_eq!(forward.stdout(), "", "{}", forward.stderr());
        assert!(forward.stderr().contains(words), "{}", forward.stderr());
    }
    let mut forward = command(["forward", "web", "0", "--relay", &relay.address().to_string()]);
    forward.env("RELAY_TOKEN", TOKEN);
    let forward = Process::spawn(forward);
    forward.expect_stdout("Listening on ");
    // What may change is told, too, and waited for.
    forward.expect_stderr("no visitor can be served yet: ");
}

#[test]
fn forward_that_asks_is_no_visitor_of_the_service_and_waits_for_no_relay() {
    let relay = Relay::start();
    let service = Service::start();
    let _exposer = Exposer::start(&relay, "web", service.address());
    let forwarder = Forwarder::start(&relay, "web");
    let mut visitor = forwarder.connect();
    visitor.send("hello");
    // The first connection that the service sees.
    service.accept().expect("hello");
    assert!(!forwarder.process.stderr().contains("yet"), "{}", forwarder.process.stderr());
    // Nobody is there, or somebody who never answers.
    let silent = Service::start();
    for relay in [nobody(), silent.address()] {
        let forwarder = Forwarder::to(relay, "web", &["--connect-timeout", "300ms"]);
        forwarder.logged(&["WARN", "no visitor can be served yet: "]);
    }
}

/// Lines about visitors that were turned away, and how many visitors they stand for.
fn turned_away(process: &Process) -> (usize, usize) {
    let log = process.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("turned away")).collect();
    let others =
        lines.iter().filter_map(|line| line.split("others=").nth(1)?.split(' ').next()?.parse().ok());
    let others: Vec<usize> = others.collect();
    (lines.len(), lines.len() - others.len() + others.iter().sum::<usize>())
}

#[test]
fn visitors_that_are_turned_away_again_and_again_are_counted_in_the_log() {
    const VISITORS: usize = 100;
    let relay = Relay::start();
    let exposer = Exposer::start(&relay, "web", nobody());
    let nobody = Forwarder::start(&relay, "nobody");
    let web = Forwarder::start(&relay, "web");
    for _ in 0..VISITORS {
        assert_eq!(nobody.connect().receive_all(), b"");
        assert_eq!(web.connect().receive_all(), b"");
    }
    // Wine shows the reset that tells forward of it as an end in order.
    let web = (!crate::harness::is_wine()).then_some(&web.process);
    for process in [&nobody.process, &exposer.process].into_iter().chain(web) {
        eventually("all are counted", || turned_away(process).1 == VISITORS);
        let (lines, _) = turned_away(process);
        // A line each second, and one for the others of that second.
        assert!(lines < VISITORS / 2, "{}", process.stderr());
    }
    let log = relay.process.stderr();
    assert!(log.lines().filter(|line| line.contains("refused")).count() < VISITORS / 2, "{log}");
}

#[test]
fn a_relay_that_falls_silent_is_not_asked_for_its_version() {
    let relay = Service::start();
    let exposer = Process::spawn(expose_command(relay.address(), ["web", "1", "--connect-timeout", "300ms"]));
    let mut control = relay.accept();
    control.receive(10);
    let exposed = br#"{"hello":2,"exposed":"web","key":"0","idle_ms":30000}"#;
    control.send(crate::harness::frame(b"", exposed));
    exposer.expect_stdout(" is reached ");
    drop(control);
    // From now on nobody answers.
    exposer.wait_stderr("two tries", |log| (log.matches("not exposed for now").count() >= 2).then_some(()));
    exposer.expect_stderr("the relay no longer answers");
    assert!(!exposer.stderr().contains("does it speak"), "{}", exposer.stderr());
}

#[test]
fn a_visitor_that_says_nothing_keeps_its_stream() {
    let (short, idle) = (option(scaled(1000)), option(scaled(2400)));
    let options = ["--register-timeout", &short, "--idle-timeout", &idle, "--open-timeout", &short];
    let (relay, _) = public_relay(1, &options);
    let service = Service::start();
    let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
    let mut silent = Socket::connect(exposer.public("web"));
    let mut local = service.accept();
    // Longer than any deadline of the relay's. There is no event to wait for: nothing is to happen.
    thread::sleep(scaled(4000));
    local.send("still there?");
    silent.expect("still there?");
    silent.send("yes");
    local.expect("yes");
    assert_eq!(exposer.process.stdout().lines().count(), 1, "the control session has lived on, too");
}

#[test]
fn a_visitor_that_reads_nothing_for_long_loses_no_byte_and_slows_nobody() {
    let idle = scaled(2400);
    let options = ["--write-timeout", "1s", "--user-timeout", "1s", "--idle-timeout", &option(idle)];
    let (relay, _) = public_relay(1, &options);
    let bytes = pattern(48 << 20);
    let address = service({
        let bytes = bytes.clone();
        move |mut socket| {
            let _ = socket.0.write_all(&bytes);
        }
    });
    let exposer = Exposer::with(&relay, ["web", &address.to_string(), "--port", "0"]);
    let public = exposer.public("web");
    let read_all = |socket: &mut Socket| {
        let since = Instant::now();
        let received = socket.receive_all();
        assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
        since.elapsed()
    };
    let alone = read_all(&mut Socket::connect(public));
    let mut stalled = Socket::connect(public);
    assert!(stalled.receive(1) == bytes[..1]);
    let since = Instant::now();
    let mut beside = Vec::new();
    while since.elapsed() < idle + Duration::from_millis(2500) || beside.len() < 3 {
        beside.push(read_all(&mut Socket::connect(public)));
    }
    let fastest = beside.iter().min().unwrap();
    println!("{alone:?} alone, {fastest:?} beside one that reads nothing");
    assert!(*fastest < alone * 2 + Duration::from_millis(200), "{fastest:?} in place of {alone:?}");
    let rest = stalled.receive_all();
    assert!(rest == bytes[1..], "{} of {} bytes", rest.len() + 1, bytes.len());
}

#[test]
#[cfg(unix)]
fn a_stopping_relay_lets_go_of_what_waits_and_has_streams_finish() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let (mut relay, _) = public_relay(1, &["--drain-timeout", "10m"]);
    let service = Service::start();
    let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    let mut visitor = Socket::connect(public);
    visitor.send("x");
    let mut local = service.accept();
    local.expect("x");
    relay.process.signal("TERM");
    // The exposer is told at once; new visitors find nobody.
    exposer.logged(&["not exposed for now", "the relay is being stopped"]);
    eventually("the port is closed", || std::net::TcpStream::connect(public).is_err());
    let bytes = pattern(4 << 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            local.send(&bytes);
            local.shutdown_write();
        });
        assert!(visitor.receive_all() == bytes);
    });
    visitor.send("bye");
    visitor.shutdown_write();
    assert_eq!(local.receive_all(), b"bye");
    // Nothing is left to wait for; in ten minutes the test would have given up.
    relay.process.expect_exit(0);
}

#[test]
#[cfg(unix)]
fn a_stopping_relay_breaks_off_streams_that_do_not_finish_in_time() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let drain = Duration::from_millis(500);
    // The default is 5 s.
    measured(drain, Duration::from_secs(5), || {
        let (mut relay, _) = public_relay(1, &["--drain-timeout", &option(drain)]);
        let service = Service::start();
        let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
        let mut visitor = Socket::connect(exposer.public("web"));
        visitor.send("x");
        let mut local = service.accept();
        local.expect("x");
        local.send("half of ");
        visitor.expect("half of ");
        let since = Instant::now();
        relay.process.signal("TERM");
        relay.process.expect_exit(0);
        let took = since.elapsed();
        for socket in [&mut visitor, &mut local] {
            let error = socket.0.read(&mut [0]).expect_err("a reset, so that nobody takes it for the whole");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        took
    });
}

#[test]
fn both_ends_prove_the_token() {
    const TOKEN: &str = "correct-horse-battery-staple";
    let mut serve = command(["serve", "--listen", "127.0.0.1:0"]);
    serve.env("RELAY_TOKEN", TOKEN);
    let relay = Relay::from_process(Process::spawn(serve), crate::harness::announced);
    let address = echo().to_string();
    let mut expose = expose_command(relay.address(), ["web", &address]);
    let mut without = Process::spawn(expose_command(relay.address(), ["web", &address]));
    without.expect_exit(1);
    assert!(without.stderr().contains("asks for a token"), "{}", without.stderr());
    expose.env("RELAY_TOKEN", TOKEN);
    let mut exposer = Process::spawn(expose);
    exposer.expect_stdout(" is reached ");
    exposer.kill();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let mut expose = expose_command(relay.address(), ["web", &address]);
    expose.arg("--token-file").arg(&file).args(["--retry-for", "20s"]);
    let exposer = Process::spawn(expose);
    exposer.expect_stdout(" is reached ");
    let forwarder = Forwarder::with(&relay, "web", &["--token-file", file.to_str().unwrap()]);
    expect_echo(forwarder.address());
    let mut wrong = command(["forward", "web", "-", "--relay", &relay.address().to_string()]);
    wrong.env("RELAY_TOKEN", "another-token-entirely");
    let mut wrong = Process::spawn(wrong);
    wrong.expect_exit(1);
    assert!(wrong.stderr().contains("check the token"), "{}", wrong.stderr());
    assert!(!exposer.stderr().contains(TOKEN));
}
