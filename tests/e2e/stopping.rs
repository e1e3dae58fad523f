//! How a relay stops: what is queued is written, clients of version 2 are told, and nobody can hold it up.

#![cfg(unix)]

use std::time::{Duration, Instant};

use crate::harness::{Relay, Socket, frame, measured, option, pattern};

/// A client that has read nothing of these bytes so far, all of which the relay has taken.
fn with_backlog(relay: &Relay, name: &str) -> (Socket, Vec<u8>) {
    let reader = relay.client(name);
    let mut sender = relay.client("sender");
    // More than the socket buffers on the way hold; the queue, as the tests have it, takes the rest.
    let payload = pattern(50_000);
    let messages = 640;
    for _ in 0..messages {
        sender.send_to(name, &payload);
    }
    sender.sync(b"sender");
    (reader, payload.repeat(messages))
}

#[test]
fn on_sigterm_and_sigint_what_is_queued_is_written_before_the_end() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    for signal in ["TERM", "INT"] {
        let mut relay = Relay::with(&["--queue", "64MiB", "--drain-timeout", "10m"]);
        let (mut reader, backlog) = with_backlog(&relay, "reader");
        relay.process.signal(signal);
        relay.process.expect_stderr(&format!("stopping signal=\"SIG{signal}\""));
        assert!(reader.receive_all() == backlog, "the slow reader gets all of it");
        drop(reader);
        relay.process.expect_exit(0);
    }
}

#[test]
fn a_slow_reader_that_goes_on_sending_gets_everything_too() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::with(&["--queue", "64MiB", "--drain-timeout", "10m"]);
    let (mut reader, backlog) = with_backlog(&relay, "reader");
    relay.process.signal("TERM");
    relay.process.expect_stderr("stopping");
    reader.send_to("reader", "");
    let first = reader.receive(20 << 20);
    reader.send_to("reader", "");
    assert!([first, reader.receive_all()].concat() == backlog, "the slow reader gets all of it");
    drop(reader);
    relay.process.expect_exit(0);
}

#[test]
fn a_version_2_client_is_told_after_its_last_message() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::start();
    let mut client = relay.connect();
    client.send(frame(b"", br#"{"hello":2,"register":"client"}"#));
    assert_eq!(client.control()["registered"], "client");
    client.send_to("client", "last");
    client.expect(frame(b"client", b"last"));
    relay.process.signal("TERM");
    let closing = client.control();
    assert_eq!(closing["closing"]["reason"], "shutdown", "{closing}");
    assert!(closing["closing"]["retry_ms"].is_u64(), "{closing}");
    client.expect_closed();
    drop(client);
    relay.process.expect_exit(0);
}

#[test]
fn idle_clients_do_not_hold_up_the_end() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::with(&["--drain-timeout", "1h"]);
    let mut registered = relay.client("registered");
    relay.process.signal("TERM");
    registered.expect_closed();
    // It keeps its own end open meanwhile.
    relay.process.expect_exit(0);
}

#[test]
fn a_client_that_reads_nothing_delays_the_end_by_the_drain_timeout_at_most() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let drain = Duration::from_millis(500);
    // The reader has its time; the default is 5 s.
    measured(drain, Duration::from_secs(5), || {
        let mut relay = Relay::with(&["--queue", "64MiB", "--drain-timeout", &option(drain)]);
        let (reader, _) = with_backlog(&relay, "reader");
        let mut session = relay.connect();
        session.send(frame(b"", br#"{"hello":2,"register":"session"}"#));
        assert_eq!(session.control()["registered"], "session");
        let since = Instant::now();
        relay.process.signal("TERM");
        relay.process.expect_exit(0);
        let took = since.elapsed();
        drop((reader, session));
        took
    });
}

#[test]
fn a_connection_that_never_registers_does_not_hold_up_the_end() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::with(&["--drain-timeout", "300ms", "--register-timeout", "1h"]);
    let _silent = relay.connect();
    let mut client = relay.client("client");
    relay.process.signal("INT");
    client.expect_closed();
    relay.process.expect_exit(0);
}

#[test]
fn a_stopping_relay_takes_no_new_clients() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::with(&["--queue", "64MiB", "--drain-timeout", "10m"]);
    let (mut reader, _) = with_backlog(&relay, "reader");
    relay.process.signal("TERM");
    relay.process.expect_stderr("stopping");
    crate::harness::eventually("connections are refused", || {
        std::net::TcpStream::connect(relay.address()).is_err()
    });
    reader.receive_all();
    drop(reader);
    relay.process.expect_exit(0);
}

#[test]
fn the_totals_count_what_happened() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let relay = Relay::start();
    let mut first = relay.client("first");
    let mut second = relay.client("second");
    for number in 0..3 {
        let mut wrong = relay.client(format!("wrong{number}"));
        wrong.send("x|-1|");
        wrong.expect_closed();
    }
    for _ in 0..2 {
        let mut taken = relay.connect();
        taken.send("first|");
        taken.expect_closed();
    }
    for number in 0..7 {
        first.send_to(format!("nobody{}", number % 2), "lost");
    }
    first.send_to("second", "found");
    second.expect("found");
    has_totals(
        relay,
        &[
            "joined=5",
            "refused=2",
            "undeliverable=7",
            "slow_consumers=0",
            "slow_senders=0",
            "idle=0",
            "protocol_errors=3",
        ],
    );
}

/// Stops the relay and requires these words in the line of its totals.
fn has_totals(mut relay: Relay, wanted: &[&str]) {
    relay.process.signal("TERM");
    relay.process.expect_exit(0);
    let log = relay.process.stderr();
    let totals = log.lines().find(|line| line.contains(" totals ")).expect("the totals are logged");
    for wanted in wanted {
        assert!(totals.split_whitespace().any(|word| word == *wanted), "{wanted}: {totals}");
    }
}

#[test]
fn the_totals_count_who_was_cut_and_why() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let relay = Relay::with(&["--idle-timeout", "300ms"]);
    relay.client("silent").expect_closed();
    has_totals(relay, &["joined=1", "idle=1", "slow_consumers=0", "slow_senders=0", "protocol_errors=0"]);

    let relay = Relay::with(&["--write-timeout", "300ms"]);
    let stuck = relay.client("stuck");
    let mut sender = relay.client("sender");
    // Only the end of the stuck client lets all of this through.
    (0..1000).for_each(|_| sender.send_to("stuck", [b'x'; 50_000]));
    sender.sync(b"sender");
    has_totals(relay, &["joined=2", "idle=0", "slow_consumers=1", "slow_senders=0", "protocol_errors=0"]);
    drop(stuck);

    let relay = Relay::with(&["--min-rate-grace", "300ms"]);
    let mut to = relay.client("to");
    let mut slow = relay.client("slow");
    let mut waiting = relay.client("waiting");
    slow.send("to|1000000|part");
    to.expect("part");
    waiting.send_to("to", "at last");
    to.expect("at last");
    slow.expect_closed();
    has_totals(relay, &["joined=3", "idle=0", "slow_consumers=0", "slow_senders=1", "protocol_errors=0"]);
}
