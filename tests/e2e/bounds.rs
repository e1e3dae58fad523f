//! Counts that a stranger chooses, just below, at and above what the relay handles at once: nothing spins, fills up or is lost.

use std::fmt::Write;

use crate::harness::{Relay, Socket, frame, is_wine};

/// The relay's own bounds on the recipients of one read are 512 recipients and 1,024 slots.
const COUNTS: [usize; 9] = [1, 511, 512, 513, 1023, 1024, 1025, 1026, 1100];

/// A relay with `count` clients `n0`, `n1`, ...; what they send is nothing.
fn crowd(relay: &Relay, count: usize) -> Vec<Socket> {
    tcp_relay::net::raise_descriptor_limit();
    let clients: Vec<_> = (0..count)
        .map(|n| {
            let mut client = relay.connect();
            client.send(format!("n{n}|"));
            client
        })
        .collect();
    relay
        .process
        .wait_stderr("the crowd", |log| (log.matches("joined name=n").count() == count).then_some(()));
    clients
}

/// One message to each of the first `count` names, in one piece.
fn to_each(count: usize, payload: &str) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        write!(text, "n{n}|{}|{payload}", payload.len()).unwrap();
        text
    })
}

#[test]
fn messages_of_no_bytes_to_any_number_of_names_in_one_segment() {
    if is_wine() {
        return; // A thousand sockets are more than its server bears.
    }
    let relay = Relay::with(&["--idle-timeout", "1h"]);
    let mut clients = crowd(&relay, 1100);
    for (senders, count) in COUNTS.into_iter().enumerate() {
        let mut sender = relay.client("sender");
        // A name that nobody has is looked for among all the others.
        sender.send(to_each(count, "") + "nobody|0|");
        sender.sync(b"sender");
        relay.client("bystander").sync(b"bystander");
        clients[count - 1].send("sender|2|ok");
        sender.expect("ok");
        drop(sender);
        relay.process.wait_stderr("the sender's end", |log| {
            let ends =
                log.matches("left name=sender").count() + log.matches("disconnected name=sender").count();
            (ends > senders).then_some(())
        });
    }
}

#[test]
fn messages_to_any_number_of_names_in_one_segment() {
    if is_wine() {
        return; // As above.
    }
    for delivery in ["raw", "framed"] {
        let relay = Relay::with(&["--idle-timeout", "1h", "--delivery", delivery]);
        let mut clients = crowd(&relay, 1100);
        let mut sender = relay.client("sender");
        let wanted = if delivery == "raw" { "hi" } else { "sender|2|hi" };
        for count in COUNTS {
            sender.send(to_each(count, "hi"));
            for client in &mut clients[..count] {
                client.expect(wanted);
            }
        }
    }
}

#[test]
fn a_message_far_larger_than_the_queue_arrives_whatever_the_queue() {
    // Once for each piece the relay recursed, and its stack was gone; with a queue of a byte, a piece was a byte.
    for queue in ["1B", "4B", "4095B", "4096B", "16383B", "16384B", "16385B"] {
        let relay = Relay::with(&["--queue", queue, "--queue-extra", "0B"]);
        let mut to = relay.client("to");
        let mut from = relay.client("from");
        let message: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let sending = std::thread::spawn({
            let message = message.clone();
            move || {
                from.send_to("to", message);
                from
            }
        });
        assert!(to.receive(message.len()) == message, "queue {queue}");
        sending.join().unwrap().sync(b"from");
    }
}

/// What a recipient that reads slowly is sent by clients that leave inside their message: it is within the queue's bound like
/// everything else that waits.
#[cfg(target_os = "linux")]
#[test]
fn unfinished_messages_of_clients_that_left_wait_within_the_bounds() {
    use crate::harness::{is_native, linux};
    let relay = Relay::with(&["--queue", "64KiB", "--queue-extra", "1MiB", "--write-timeout", "1h"]);
    let to = relay.client("to");
    // Until nothing more is taken: the recipient does not read.
    relay.client("flood").flood("to", &[b'f'; 65_536]);
    let before = linux::memory(relay.process.id(), "VmRSS");
    let count = 300;
    let mut half_closed = Vec::new();
    for n in 0..count {
        let mut client = relay.connect();
        client.send(format!("part{n}|to|65536|"));
        client.send([b'x'; 65_535]);
        client.shutdown_write();
        half_closed.push(client);
    }
    relay
        .process
        .wait_stderr("all of them", |log| (log.matches("joined name=part").count() == count).then_some(()));
    relay.client("bystander").sync(b"bystander");
    if is_native() {
        let grown = linux::memory(relay.process.id(), "VmRSS").saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes more for {count} clients of 64 KiB each");
    }
    drop(half_closed);
    drop(to.0.shutdown(std::net::Shutdown::Both));
}

/// A client that has shut down its sending side gets what waits for it, in time; after that its name is free.
#[test]
fn a_client_that_half_closes_and_never_reads_loses_its_name() {
    let limit = crate::harness::scaled(500);
    let timeout = crate::harness::option(limit);
    let relay = Relay::with(&["--write-timeout", &timeout, "--idle-timeout", "1h", "--queue", "64MiB"]);
    let client = relay.client("half");
    let mut sender = relay.client("sender");
    // So much that the systems on the way do not hold it; less than what makes the sender wait, which has a deadline of its own.
    for _ in 0..16 {
        sender.send_to("half", vec![b'x'; 1 << 20]);
    }
    sender.sync(b"sender");
    client.shutdown_write();
    relay.logged(&["disconnected", "name=half", "it did not read what was sent to it"]);
    relay.client("half").sync(b"half");
}

/// Messages that a relay collects before it delivers them, because the recipient takes them whole: the first 64 KiB of each are free, the
/// rest is lent by what all clients have together.
#[test]
fn large_framed_messages_arrive_whole_whatever_the_budget() {
    for extra in ["0B", "64KiB", "16MiB"] {
        let relay = Relay::with(&["--delivery", "framed", "--queue-extra", extra, "--idle-timeout", "1h"]);
        let mut to = relay.client("to");
        let senders: Vec<_> = (0..6)
            .map(|n| {
                let mut sender = relay.client(format!("from{n}"));
                std::thread::spawn(move || {
                    for size in [65_519, 65_535, 65_536, 65_537, 300_000, 1 << 20] {
                        sender.send_to("to", vec![b'a' + n; size]);
                    }
                    sender
                })
            })
            .collect();
        let mut seen = std::collections::BTreeMap::<String, Vec<usize>>::new();
        for _ in 0..6 * 6 {
            let mut header = Vec::new();
            while header.iter().filter(|byte| **byte == b'|').count() < 2 {
                header.extend(to.receive(1));
            }
            let header = String::from_utf8(header).unwrap();
            let (name, length) = header.split_once('|').unwrap();
            let length = length.trim_end_matches('|').parse().unwrap();
            let payload = to.receive(length);
            let n = name.trim_start_matches("from").parse::<u8>().unwrap();
            assert!(payload.iter().all(|byte| *byte == b'a' + n), "{extra}: mixed up");
            seen.entry(name.to_owned()).or_default().push(length);
        }
        assert!(
            seen.values().all(|sizes| sizes == &[65_519, 65_535, 65_536, 65_537, 300_000, 1 << 20]),
            "{seen:?}"
        );
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

/// Every message to a new name that nobody has is answered with a notice that is longer than the message. Who does not read the notices is
/// paused, and they stay within the queue.
#[cfg(target_os = "linux")]
#[test]
fn notices_that_nobody_reads_stay_within_the_queue() {
    use crate::harness::{is_native, linux};
    let relay = Relay::with(&["--queue", "64KiB", "--queue-extra", "1MiB", "--write-timeout", "1h"]);
    let before = linux::memory(relay.process.id(), "VmRSS");
    let strangers: Vec<_> = (0..20)
        .map(|n| {
            let mut stranger = relay.connect();
            stranger.send(frame(b"", format!("{{\"hello\":2,\"register\":\"s{n}\"}}").as_bytes()));
            stranger.control();
            stranger.0.set_write_timeout(Some(crate::harness::scaled(300))).unwrap();
            let messages = (0..100_000).fold(String::new(), |mut text, m| {
                write!(text, "{m}\u{1}\u{1}\u{1}|0|").unwrap();
                text
            });
            // The relay reads no more of them than it has notices for.
            let _ = std::io::Write::write_all(&mut stranger.0, messages.as_bytes());
            stranger
        })
        .collect();
    relay.client("bystander").sync(b"bystander");
    if is_native() {
        let grown = linux::memory(relay.process.id(), "VmRSS").saturating_sub(before);
        // A queue of 64 KiB each, 1 MiB together, and what was read of each and waits.
        assert!(grown < 14 << 20, "{grown} bytes more");
    }
    drop(strangers);
}
