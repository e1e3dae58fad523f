//! A program that stands still for a while, as in a paused container or in a machine short of memory: it costs nobody a service or a name.

use std::process::Command;

use tcp_relay::wire::Secret;

use crate::harness::{
    Exposer, Forwarder, Process, Relay, Socket, command, echo, eventually, expose_command, frame,
    is_in_container, not_run, option, scaled, without_signals,
};

const MINE: &str = "the owner's own secret";

/// Why the test cannot pause programs, if it cannot.
fn without_pauses() -> Option<&'static str> {
    without_signals()
        .or(is_in_container().then_some("a signal to a program in a container takes its own way"))
}

/// Has the program stand still until [`go_on`].
fn pause(process: &Process) {
    process.signal("STOP");
    // The signal is on its way for a moment.
    eventually("the program stands still", || {
        let id = process.id().to_string();
        let state = Command::new("ps").args(["-o", "state=", "-p", &id]).output().expect("`ps` runs");
        state.stdout.trim_ascii_start().first() == Some(&b'T')
    });
}

fn go_on(process: &Process) {
    process.signal("CONT");
}

/// Asks for a name with a hello that has these fields and the owner's key.
fn ask(relay: &Relay, what: &str, name: &str, more: &str) -> Socket {
    let mut socket = relay.connect();
    let owner = Secret::new(MINE.as_bytes()).unwrap().owner_key(name.as_bytes()).to_hex();
    let hello = format!(r#"{{"hello":2,"{what}":"{name}","owner":"{owner}"{more}}}"#);
    socket.send(frame(b"", hello.as_bytes()));
    socket
}

fn expect_pong(socket: &mut Socket) {
    socket.send(r#"|10|{"ping":7}"#);
    let answer = socket.control();
    assert_eq!(answer["pong"], 7, "{answer}");
}

#[test]
fn a_hello_whose_client_has_gone_replaces_nobody() {
    if let Some(why) = without_pauses() {
        return not_run(why);
    }
    let relay = Relay::start();
    for (what, answer) in [("register", "registered"), ("expose", "exposed")] {
        let mut live = ask(&relay, what, "mine", "");
        assert_eq!(live.control()[answer], "mine");
        // Elsewhere the end is not seen behind bytes that are unread.
        let unread = if cfg!(target_os = "linux") { 100_000 } else { 0 };
        for behind in [0, unread] {
            pause(&relay.process);
            // The attempts that a client gives up one after the other.
            let mut gone: Vec<_> = (0..5).map(|_| ask(&relay, what, "mine", "")).collect();
            for attempt in &mut gone {
                attempt.send(frame(b"x", b"").repeat(behind / 4));
                attempt.shutdown_write();
            }
            go_on(&relay.process);
            gone.iter_mut().for_each(Socket::expect_closed);
            expect_pong(&mut live);
        }
    }
}

#[test]
fn a_client_that_finishes_and_replaces_nobody_is_served() {
    if let Some(why) = without_pauses() {
        return not_run(why);
    }
    let relay = Relay::start();
    let mut to = relay.client("b");
    pause(&relay.process);
    let mut once = relay.connect();
    once.send("a|b|5|hello");
    once.shutdown_write();
    let mut session = ask(&relay, "register", "mine", "");
    session.send("b|5|again");
    session.shutdown_write();
    go_on(&relay.process);
    let received = [to.receive(5), to.receive(5)];
    assert!(received.contains(&b"hello".to_vec()) && received.contains(&b"again".to_vec()), "{received:?}");
    assert_eq!(session.control()["registered"], "mine");
    once.expect_closed();
}

#[test]
fn a_name_that_is_asked_for_if_it_is_free_stays_with_its_holder() {
    let relay = Relay::start();
    for (what, answer) in [("register", "registered"), ("expose", "exposed")] {
        let if_free = r#","if_free":true"#;
        let mut first = ask(&relay, what, "mine", if_free);
        assert_eq!(first.control()[answer], "mine");
        let mut second = ask(&relay, what, "mine", if_free);
        assert_eq!(second.control()["error"]["code"], "name_taken");
        second.expect_closed();
        expect_pong(&mut first);
        // Without the field, or without it being true, the owner has its name.
        let mut third = ask(&relay, what, "mine", r#","if_free":false"#);
        assert_eq!(third.control()[answer], "mine");
        assert_eq!(first.control()["error"]["code"], "replaced");
    }
}

/// Each kind of client that keeps a name.
fn start_mine(relay: &Relay, kind: &str) -> Process {
    let mut command = match kind {
        "expose" => expose_command(relay.address(), ["mine", &echo().to_string()]),
        "recv" => command(["recv", "--as", "mine", "--lines", "--relay", &relay.address().to_string()]),
        _ => command(["connect", "127.0.0.1", &relay.port(), "mine", "--v2"]),
    };
    command.env("RELAY_OWNER", MINE);
    let process = Process::spawn(command);
    relay.logged(&[if kind == "expose" { "exposed" } else { "joined" }, "mine"]);
    process
}

#[test]
fn a_client_that_was_replaced_and_is_alone_has_its_name_again() {
    for kind in ["expose", "recv", "connect"] {
        let relay = Relay::start();
        let mut client = start_mine(&relay, kind);
        let (what, answer) =
            if kind == "expose" { ("expose", "exposed") } else { ("register", "registered") };
        for round in 1..=3 {
            // What looks like another program of the same owner is gone in the next moment.
            let mut other = ask(&relay, what, "mine", "");
            assert_eq!(other.control()[answer], "mine");
            drop(other);
            relay.process.wait_stderr("the client's return", |log| {
                let begun =
                    if kind == "expose" { "INFO exposed service=mine" } else { "INFO joined name=mine" };
                // One more than the client and whoever looked like it have had before.
                (log.matches(begun).count() == 2 * round + 1).then_some(())
            });
            match kind {
                "expose" => {
                    let forwarder = Forwarder::start(&relay, "mine");
                    let mut visitor = forwarder.connect();
                    visitor.send("hello");
                    visitor.expect("hello");
                }
                _ => {
                    let mut sender = relay.client("sender");
                    sender.send_to("mine", format!("hello {round}"));
                    if kind == "connect" {
                        client.write("recv\n");
                    }
                    client.expect_stdout(&format!("hello {round}"));
                    drop(sender);
                    relay.process.wait_stderr("the end of the sender", |log| {
                        (log.matches("left name=sender").count() == round).then_some(())
                    });
                }
            }
        }
    }
}

#[test]
fn a_client_that_was_replaced_by_another_program_ends() {
    for kind in ["expose", "recv", "connect"] {
        let relay = Relay::start();
        let mut client = start_mine(&relay, kind);
        let (what, answer) =
            if kind == "expose" { ("expose", "exposed") } else { ("register", "registered") };
        let mut other = ask(&relay, what, "mine", "");
        assert_eq!(other.control()[answer], "mine");
        client.expect_exit(1);
        assert!(client.stderr().contains("another program of the same owner"), "{}", client.stderr());
        expect_pong(&mut other);
    }
}

#[test]
fn a_pause_of_the_relay_costs_no_service_and_no_name() {
    if let Some(why) = without_pauses() {
        return not_run(why);
    }
    let idle = option(scaled(3000));
    let relay = Relay::with(&["--idle-timeout", &idle]);
    let timeout = option(scaled(300));
    let impatient = ["--connect-timeout", timeout.as_str()];
    let exposer = Exposer::with(&relay, [&["mine", &echo().to_string()][..], &impatient].concat());
    let address = relay.address().to_string();
    let recv = ["recv", "--as", "mine", "--lines", "--relay", &address];
    let recv = Process::spawn(command(recv.iter().chain(&impatient)));
    relay.logged(&["joined", "name=mine"]);
    pause(&relay.process);
    // The session counts as lost, and then attempt after attempt is given up.
    for (process, words) in [(&exposer.process, "not exposed for now"), (&recv, "Trying again in")] {
        process
            .wait_stderr("attempts that are given up", |log| (log.matches(words).count() >= 4).then_some(()));
    }
    go_on(&relay.process);
    exposer.announced("mine", 2);
    let forwarder = Forwarder::start(&relay, "mine");
    let mut visitor = forwarder.connect();
    visitor.send("hello");
    visitor.expect("hello");
    recv.expect_stderr("connected to");
    // All that the pause left behind has been dealt with by now, or is while these talk.
    for n in 0..20 {
        let text = format!("message {n}");
        let mut sent = crate::harness::relay(["send", "mine", "--wait", "10s", "--relay", &address]);
        sent.write_stdin(text.clone()).assert().success();
        recv.expect_stdout(&text);
        let mut visitor = forwarder.connect();
        visitor.send(&text);
        visitor.expect(&text);
    }
    for process in [&exposer.process, &recv] {
        assert!(!process.stderr().contains("end one of the two"), "{}", process.stderr());
    }
}

#[test]
fn the_interactive_client_outlives_a_pause_of_the_relay() {
    if let Some(why) = without_pauses() {
        return not_run(why);
    }
    // Its pings come three times in that, and it waits 10 s for a pong.
    let relay = Relay::with(&["--idle-timeout", &option(scaled(2000))]);
    let mut connect = Process::spawn(command(["connect", "127.0.0.1", &relay.port(), "mine", "--v2"]));
    relay.logged(&["joined", "name=mine"]);
    pause(&relay.process);
    std::thread::sleep(std::time::Duration::from_secs(4));
    go_on(&relay.process);
    let mut sender = relay.client("sender");
    sender.send_to("mine", "hello");
    connect.write("recv\n");
    connect.expect_stdout("sender: b'hello'");
}

#[test]
fn a_pause_of_the_exposer_costs_no_service() {
    if let Some(why) = without_pauses() {
        return not_run(why);
    }
    let relay = Relay::with(&["--idle-timeout", &option(scaled(2500))]);
    let exposer = Exposer::start(&relay, "mine", echo());
    for round in 1..=2 {
        pause(&exposer.process);
        relay.process.wait_stderr("the end of the service", |log| {
            (log.matches("no longer exposed").count() == round).then_some(())
        });
        go_on(&exposer.process);
        exposer.announced("mine", round + 1);
        let forwarder = Forwarder::start(&relay, "mine");
        let mut visitor = forwarder.connect();
        visitor.send("hello");
        visitor.expect("hello");
    }
}
