//! What the clients do while somebody does not read: nothing is lost, and nobody takes a pause for the end.

use std::{
    io::Read,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{DEADLINE, Process, Relay, command, option, pattern, scaled};

/// A client's own deadline for a pong is 10 s.
const LONGER_THAN_A_PONG: Duration = Duration::from_secs(12);

#[test]
fn a_recipient_may_pause_for_longer_than_a_pong_takes() {
    // The recipient is not to be cut for its pause.
    let server = Relay::with(&["--write-timeout=60s", "--user-timeout=0s"]);
    let mut to = server.client("to");
    // More than the recipient, the relay and the systems between them hold, and little enough that the sender is through with its writing.
    let data = vec![b'x'; 7_000_000];
    let address = server.address().to_string();
    let mut sender = Process::spawn(command(["send", "--relay", &address, "to", "--lines"]));
    for line in data.chunks(64 << 10) {
        sender.write([line, b"\n"].concat());
    }
    sender.close_stdin();
    // There is no event to wait for: nothing is to happen.
    thread::sleep(LONGER_THAN_A_PONG);
    assert!(to.receive(data.len()) == data);
    sender.expect_exit(0);
}

#[test]
fn a_receiver_whose_output_is_not_read_keeps_its_connection_and_every_byte() {
    let idle = scaled(2500);
    // The recipient is not to be cut for its pause.
    let server = Relay::with(&["--write-timeout=10m", "--idle-timeout", &option(idle)]);
    let address = server.address().to_string();
    let (messages, bytes) = (160, 50_000);
    let count = messages.to_string();
    // With a timeout, so that a program that loses something ends.
    let timeout = option(*DEADLINE);
    let arguments = ["recv", "--relay", &address, "--as", "to", "--count", &count, "--timeout", &timeout];
    let mut recv = command(arguments);
    let mut recv = recv.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    server.process.expect_stderr("joined name=to ");
    let data = pattern(messages * bytes);
    let mut from = server.client("from");
    let sender = thread::spawn({
        let data = data.clone();
        move || {
            data.chunks(bytes).for_each(|message| from.send_to("to", message));
            from
        }
    });
    // There is no event to wait for: nothing is to happen.
    thread::sleep(idle * 3);
    let mut stdout = recv.stdout.take().unwrap();
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).unwrap();
    assert!(received == data, "{} of {} bytes arrived", received.len(), data.len());
    assert_eq!(recv.wait().unwrap().code(), Some(0));
    sender.join().unwrap();
    assert_eq!(server.log_at_end().matches("joined name=to ").count(), 1, "one connection did for all");
}

#[test]
fn the_interactive_client_keeps_what_nobody_asks_for_and_its_connection() {
    // Longer than the 10 s between version 1's signs of life.
    let idle = Duration::from_secs(10) + scaled(2000);
    let options = ["--write-timeout=10m", "--user-timeout=0s", "--idle-timeout", &option(idle)];
    let server = Relay::with(&options);
    let bytes = 3 << 20;
    let mut consoles = ["raw", "v2"].map(|name| {
        let port = server.port();
        let options: &[&str] = if name == "v2" { &["--v2"] } else { &[] };
        let console = Process::spawn(command(["connect", "127.0.0.1", &port, name].iter().chain(options)));
        server.process.expect_stderr(&format!("joined name={name} "));
        let mut from = server.client(format!("to_{name}"));
        let sender = thread::spawn(move || {
            vec![b'x'; bytes].chunks(100 << 10).for_each(|message| from.send_to(name, message));
            from
        });
        (console, sender)
    });
    let until = Instant::now() + idle + idle / 4;
    // There is no event to wait for: nothing is to happen.
    thread::sleep(until.saturating_duration_since(Instant::now()));
    for (console, _) in &mut consoles {
        // Each shows what there is; the last of them wait for more, which never comes.
        console.write("recv\n".repeat(2000));
        let deadline = Instant::now() + *DEADLINE;
        loop {
            let shown = console.stdout_bytes().iter().filter(|byte| **byte == b'x').count();
            if shown == bytes {
                break;
            }
            assert!(Instant::now() < deadline, "{shown} of {bytes} bytes were shown");
            thread::park_timeout(Duration::from_millis(50));
        }
    }
    let log = server.process.stderr();
    assert_eq!(log.matches(" name=raw ").count(), 1, "it joined and did not leave: {log}");
    assert_eq!(log.matches(" name=v2 ").count(), 1, "it joined and did not leave: {log}");
    drop(consoles.map(|(_, sender)| sender.join().unwrap()));
}

/// Has others stop when it is dropped.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Peers that never stop sending keep a receiver neither from its deadlines and signals nor from showing that it is alive.
#[cfg(unix)]
#[test]
fn a_receiver_that_has_always_something_to_read_obeys_its_timeout_and_is_alive() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let idle = scaled(2000);
    let relay = Relay::with(&["--idle-timeout", &option(idle)]);
    let address = relay.address().to_string();
    let mut receiver = Process::spawn(command([
        "recv",
        "--relay",
        &address,
        "--as",
        "busy",
        "--from",
        "nobody",
        "--timeout",
        &option(3 * idle),
    ]));
    relay.logged(&["joined", "name=busy"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for those that send.
        let _stops = Stops(&stop);
        for n in 0..2 {
            let mut flood = relay.client(format!("flood{n}"));
            let stop = &stop;
            scope.spawn(move || {
                let frames = "busy|0|".repeat(10_000);
                while !stop.load(Ordering::Relaxed)
                    && std::io::Write::write_all(&mut flood.0, frames.as_bytes()).is_ok()
                {}
            });
        }
        // Nothing that counts arrives, so the timeout ends it: not the relay, for silence, before.
        receiver.expect_exit(1);
    });
    assert!(receiver.stderr().contains("nothing arrived for"), "{}", receiver.stderr());
    assert!(!relay.process.stderr().contains("it was silent"), "{}", relay.process.stderr());
}
