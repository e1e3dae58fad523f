//! Too much: announcements without end and connections without end. Bystanders notice nothing and memory stays flat.

use crate::harness::{Relay, Socket, beside_bystanders, is_wine};

/// A thousand, or what wine can bear: each call of each of its programs goes through one process, and takes the longer the more sockets
/// there are.
fn a_thousand() -> usize {
    if is_wine() { 200 } else { 1000 }
}

/// A relay that cuts nobody for silence, however long it takes until all have come.
fn relay(options: &[&str]) -> Relay {
    Relay::with(&[&["--idle-timeout", "1h"], options].concat())
}

/// A thousand clients announce 4 GB each, to `to`, and send one byte of it.
fn a_thousand_announcements(relay: &Relay, to: &str) -> Vec<Socket> {
    tcp_relay::net::raise_descriptor_limit();
    let mut clients = Vec::new();
    for number in 0..a_thousand() {
        let mut client = relay.connect();
        client.send(format!("client{number}|{to}|4294967296|x"));
        clients.push(client);
    }
    // The last one is also the last to be heard of; the message to itself of yet another follows it.
    relay.process.wait_stderr("a thousand clients", |log| {
        (log.matches("joined name=client").count() == a_thousand()).then_some(())
    });
    relay.client("last").sync(b"last");
    clients
}

#[test]
fn four_gigabytes_announced_a_thousand_times_to_nobody() {
    let relay = relay(&[]);
    beside_bystanders(&relay, || {
        drop(a_thousand_announcements(&relay, "nobody"));
    });
}

#[test]
fn four_gigabytes_announced_a_thousand_times_to_one_recipient() {
    let relay = relay(&[]);
    let mut to = relay.client("to");
    beside_bystanders(&relay, || {
        let clients = a_thousand_announcements(&relay, "to");
        // The first holds the recipient, the others wait; each that leaves makes room for the next.
        to.expect("x");
        drop(clients);
        to.expect("x".repeat(a_thousand() - 1));
        to.sync(b"to");
    });
}

#[test]
fn four_gigabytes_announced_a_thousand_times_with_framed_delivery() {
    let relay = relay(&["--delivery", "framed"]);
    let mut to = relay.client("to");
    beside_bystanders(&relay, || {
        for mut client in a_thousand_announcements(&relay, "to") {
            client.expect_closed();
        }
        let last = format!("name=client{}", a_thousand() - 1);
        relay.logged(&["disconnected", &last, "4294967296 bytes is over the limit"]);
        to.sync(b"to");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_flood_of_connections_past_the_descriptor_limit() {
    use std::{
        io::Read,
        time::{Duration, Instant},
    };

    use crate::harness::{
        DEADLINE, Process, announced, command, eventually, is_linux_process, linux::processor_time,
    };

    if !is_linux_process() {
        return crate::harness::not_run("needs a process of this Linux");
    }
    let relay = command(["serve", "--listen", "127.0.0.1:0", "--register-timeout", "1h"]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(relay.get_program()).args(relay.get_args());
    limited.env_remove("RELAY_LOG");
    let relay = Relay::from_process(Process::spawn(limited), announced);
    let starved = "cannot accept connections for now; those that exist go on";
    beside_bystanders(&relay, || {
        tcp_relay::net::raise_descriptor_limit();
        let flood: Vec<Socket> = (0..200).map(|_| relay.connect()).collect();
        relay.logged(&["WARN", starved, "error="]);
        // It tries again every now and then, which is not logged again.
        let mut late = relay.connect();
        late.send("late|late|4|here");
        late.0.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        assert!(late.0.read(&mut [0]).is_err(), "there is no room for it yet");
        assert_eq!(relay.process.stderr().matches(starved).count(), 1);
        drop(flood);
        late.0.set_read_timeout(Some(*DEADLINE)).unwrap();
        late.expect("here");
        relay.logged(&["accepting connections again"]);
    });
    // Nor is it a busy loop: a second flood, while nobody talks.
    let flood: Vec<Socket> = (0..200).map(|_| relay.connect()).collect();
    relay.process.wait_stderr("it is starved again", |log| {
        (log.rfind(starved) > log.rfind("accepting connections again")).then_some(())
    });
    let (since, before) = (Instant::now(), processor_time(relay.process.id()));
    // There is no event to wait for: nothing is to happen.
    std::thread::sleep(Duration::from_millis(1500));
    let used = processor_time(relay.process.id()) - before;
    assert!(used <= since.elapsed() / 2, "{used:?}");
    drop(flood);
    eventually("new clients get in", || relay.client("new").0.peer_addr().is_ok());
}
