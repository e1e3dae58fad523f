//! Too much: announcements without end and connections without end. Bystanders notice nothing and memory stays flat.

use crate::harness::{Relay, Socket, beside_bystanders};

/// A thousand clients announce 4 GB each, to `to`, and send one byte of it.
fn a_thousand_announcements(relay: &Relay, to: &str) -> Vec<Socket> {
    tcp_relay::net::raise_descriptor_limit();
    let mut clients = Vec::new();
    for number in 0..1000 {
        let mut client = relay.connect();
        client.send(format!("client{number}|{to}|4294967296|x"));
        clients.push(client);
    }
    // The last one is also the last to be heard of; the message to itself of yet another follows it.
    relay.process.wait_stderr("a thousand clients", |log| {
        (log.matches("joined name=client").count() == 1000).then_some(())
    });
    relay.client("last").sync(b"last");
    clients
}

#[test]
fn four_gigabytes_announced_a_thousand_times_to_nobody() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        drop(a_thousand_announcements(&relay, "nobody"));
    });
}

#[test]
fn four_gigabytes_announced_a_thousand_times_to_one_recipient() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    beside_bystanders(&relay, || {
        let clients = a_thousand_announcements(&relay, "to");
        // The first holds the recipient, the others wait; each that leaves makes room for the next.
        to.expect("x");
        drop(clients);
        to.expect("x".repeat(999));
        to.sync(b"to");
    });
}

#[test]
fn four_gigabytes_announced_a_thousand_times_with_framed_delivery() {
    let relay = Relay::with(&["--delivery", "framed"]);
    let mut to = relay.client("to");
    beside_bystanders(&relay, || {
        for mut client in a_thousand_announcements(&relay, "to") {
            client.expect_closed();
        }
        relay.logged(&["disconnected", "name=client999", "4294967296 bytes is over the limit"]);
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
        DEADLINE, Process, announced, command, eventually, is_native, linux::processor_time,
    };

    if !is_native() {
        return crate::harness::not_run("needs the native program");
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
        // It tries again every now and then, which is neither logged again nor a busy loop.
        let id = relay.process.id();
        let since = Instant::now();
        let before = processor_time(id);
        let mut late = relay.connect();
        late.send("late|late|4|here");
        late.0.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        assert!(late.0.read(&mut [0]).is_err(), "there is no room for it yet");
        assert_eq!(relay.process.stderr().matches(starved).count(), 1);
        assert!(processor_time(id) <= before + since.elapsed() * 2);
        drop(flood);
        late.0.set_read_timeout(Some(*DEADLINE)).unwrap();
        late.expect("here");
        relay.logged(&["accepting connections again"]);
    });
    eventually("new clients get in", || relay.client("new").0.peer_addr().is_ok());
}
