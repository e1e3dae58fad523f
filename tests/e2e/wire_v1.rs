//! Version 1, row by row of the table in docs/protocol.md, by raw sockets.

use std::time::{Duration, Instant};

use crate::harness::{Relay, Socket, frame, measured, option, pattern, scaled};

#[test]
fn any_split_of_the_bytes_gives_the_same_result() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    let mut from = relay.connect();
    // One byte a segment, from the registration on.
    for byte in b"from|to|5|hellonobody|3|xyzto|0|to|1|!" {
        from.send([*byte]);
    }
    to.expect("hello!");
    // Many frames in one segment, the last of them cut in its header and in its payload.
    from.send("to|1|ato|2|bcfrom|0|to|3|defto|4|");
    to.expect("abcdef");
    from.send("gh");
    from.send("ij");
    to.expect("ghij");
}

#[test]
fn a_message_for_a_name_that_nobody_has_is_discarded_and_its_sender_stays() {
    let relay = Relay::with(&["--log-level", "debug"]);
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    from.send_to("nobody", "lost");
    from.send_to("nobody", pattern(300_000));
    from.send_to("to", "kept");
    to.expect("kept");
    relay.process.expect_stderr("undeliverable");
    assert!(!relay.process.stderr().contains("lost"), "the log never has a payload");
}

#[test]
fn the_empty_destination_is_a_name_that_nobody_has() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    to.send("|4|lost");
    to.send_to("to", "kept");
    to.expect("kept");
}

#[test]
fn a_client_can_send_to_itself() {
    let relay = Relay::start();
    let mut client = relay.client("me");
    client.send_to("me", "note");
    client.expect("note");
    let large = pattern(500_000);
    client.send_to("me", &large);
    assert!(client.receive(large.len()) == large);
}

#[test]
fn the_keepalive_delivers_nothing_in_either_delivery() {
    for delivery in ["raw", "framed"] {
        let relay = Relay::with(&["--delivery", delivery]);
        let mut client = relay.client("me");
        client.send("me|0|me|0|");
        client.send_to("me", "next");
        client.expect(if delivery == "raw" { "next" } else { "me|4|next" });
    }
}

#[test]
fn the_keepalive_keeps_the_connection() {
    let idle = scaled(2000);
    let relay = Relay::with(&["--idle-timeout", &option(idle)]);
    let since = Instant::now();
    let mut kept = relay.client("kept");
    let mut silent = relay.client("silent");
    // The silent one is cut while the other, no less idle but for its keepalives, stays. Its own echo paces the keepalives.
    std::thread::scope(|scope| {
        let cut = scope.spawn(|| silent.expect_closed());
        while !cut.is_finished() {
            kept.send("kept|0|");
            kept.sync(b"kept");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    assert!(since.elapsed() >= idle, "not before its time");
    kept.send_to("kept", "here");
    kept.expect("here");
    relay.process.expect_stderr("silent for too long");
}

#[test]
fn an_empty_message_is_nothing_when_raw_and_a_header_when_framed() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    from.send("to|0|to|1|x");
    to.expect("x");

    let relay = Relay::with(&["--delivery", "framed"]);
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    from.send("to|0|to|1|x");
    to.expect("from|0|from|1|x");
}

#[test]
fn framed_delivery_names_the_sender() {
    let relay = Relay::with(&["--delivery", "framed"]);
    let mut a = relay.client("device_a");
    let mut b = relay.client("device_b");
    b.send_to("device_a", "hello");
    a.expect("device_b|5|hello");
    // Leading zeros are digits; what is delivered has none.
    b.send("device_a|0002|hi");
    a.expect("device_b|2|hi");
    let large = pattern(1 << 20);
    b.send_to("device_a", &large);
    a.expect(frame(b"device_b", &large));
}

#[test]
fn a_malformed_length_ends_the_connection_and_is_logged() {
    let relay = Relay::start();
    let mut other = relay.client("other");
    let ten_thousand_digits = "1".repeat(10_000);
    let malformed = [
        "+5",
        "-5",
        " 5",
        "5 ",
        "",
        "x",
        "5x",
        "0x5",
        "5\n",
        "٥",
        "18446744073709551616",
        "99999999999999999999",
        "000000000000000000001",
        &ten_thousand_digits,
    ];
    for (n, length) in malformed.iter().enumerate() {
        let name = format!("bad{n}");
        let mut client = relay.client(&name);
        let address = client.0.local_addr().unwrap();
        client.send(format!("other|{length}|hello"));
        client.expect_closed();
        relay.process.wait_stderr("the reason with name and address", |log| {
            let blamed =
                |line: &str| line.contains("protocol error") && line.contains(&format!("name={name} "));
            log.lines().find(|line| blamed(line) && line.contains(&address.to_string())).map(|_| ())
        });
    }
    // The largest length that is one is waited for.
    let mut client = relay.client("good");
    client.send("other|18446744073709551615|");
    client.send("x");
    other.expect("x");
}

#[test]
fn a_header_without_end_ends_the_connection() {
    let relay = Relay::start();
    let mut client = relay.client("endless");
    client.send([b'n'; 255]);
    client.send("n");
    client.expect_closed();
    relay.process.expect_stderr("protocol error: a name longer than 255 bytes");
}

#[test]
fn messages_of_several_senders_never_interleave_and_each_sender_keeps_its_order() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    const SENDERS: u8 = 6;
    const MESSAGES: usize = 60;
    // Small ones, ones near the limits, and ones that are streamed. The payload says who, which and how long.
    let lengths = [9, 70, 4_096, 65_536, 65_537, 200_000];
    let senders: Vec<Socket> = (0..SENDERS).map(|n| relay.client(format!("s{n}"))).collect();
    std::thread::scope(|scope| {
        for (sender, mut socket) in (0..SENDERS).zip(senders) {
            scope.spawn(move || {
                for message in 0..MESSAGES {
                    let length = lengths[(message * 7 + sender as usize) % lengths.len()];
                    let mut payload = vec![sender; length];
                    payload[1..5].copy_from_slice(&(message as u32).to_be_bytes());
                    payload[5..9].copy_from_slice(&(length as u32).to_be_bytes());
                    socket.send_to("to", &payload);
                }
                // Stays until everything has been read.
                socket
            });
        }
        let mut next = [0; SENDERS as usize];
        for _ in 0..MESSAGES * SENDERS as usize {
            let start = to.receive(9);
            let sender = start[0];
            let message = u32::from_be_bytes(start[1..5].try_into().unwrap());
            let length = u32::from_be_bytes(start[5..9].try_into().unwrap()) as usize;
            assert_eq!(message, next[sender as usize], "sender {sender} in order");
            next[sender as usize] += 1;
            assert!(
                to.receive(length - 9).iter().all(|byte| *byte == sender),
                "message of {sender} is contiguous"
            );
        }
    });
}

#[test]
fn of_an_unfinished_message_a_raw_recipient_keeps_what_came() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    // Small enough to be collected first, and large enough to be streamed.
    for announced in [100, 10_000_000] {
        let from = {
            let mut from = relay.client(format!("from{announced}"));
            from.send(format!("to|{announced}|first part"));
            from
        };
        drop(from);
        to.expect("first part");
        // The recipient is not held for the sender that is gone.
        let mut next = relay.client(format!("next{announced}"));
        next.send_to("to", "after");
        to.expect("after");
    }
}

#[test]
fn of_an_unfinished_message_a_framed_recipient_sees_nothing() {
    let relay = Relay::with(&["--delivery", "framed"]);
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    from.send("to|100000|first part");
    from.send(pattern(50_000));
    drop(from);
    relay.process.expect_stderr("left name=from");
    let mut next = relay.client("next");
    next.send_to("to", "after");
    to.expect("next|5|after");
}

#[test]
fn a_message_larger_than_the_queue_passes_through_while_others_wait_their_turn() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    let mut large = relay.client("large");
    let mut small = relay.client("small");
    let payload = pattern(40 << 20);
    large.send(format!("to|{}|", payload.len()));
    large.send(&payload[..1_000_000]);
    to.expect(&payload[..1000]);
    // The recipient is held by now.
    small.send_to("to", "small one");
    std::thread::scope(|scope| {
        scope.spawn(|| large.send(&payload[1_000_000..]));
        let rest = to.receive(payload.len() - 1000);
        assert!(rest == payload[1000..], "the large message is whole and contiguous");
    });
    to.expect("small one");
}

#[test]
fn a_sender_that_makes_others_wait_must_keep_a_minimum_rate() {
    let relay = Relay::with(&["--min-rate-grace", "500ms", "--min-rate", "1KiB"]);
    let mut to = relay.client("to");
    let mut slow = relay.client("slow");
    let mut waiting = relay.client("waiting");
    slow.send("to|1000000|part");
    to.expect("part");
    let since = Instant::now();
    waiting.send_to("to", "at last");
    to.expect("at last");
    assert!(since.elapsed() >= Duration::from_millis(500), "the grace was kept");
    slow.expect_closed();
    relay.process.expect_stderr("sent too slowly");
}

#[test]
fn a_slow_sender_that_nobody_waits_for_may_take_its_time() {
    let relay = Relay::with(&["--min-rate-grace", "100ms", "--min-rate", "1MiB"]);
    let mut to = relay.client("to");
    let mut slow = relay.client("slow");
    slow.send("to|100000|");
    let mut other = relay.client("other");
    // Many sweeps pass while an unrelated conversation goes on.
    for _ in 0..20 {
        slow.send([b'x'; 10]);
        to.expect([b'x'; 10]);
        other.sync(b"other");
        std::thread::park_timeout(Duration::from_millis(25));
    }
}

#[test]
fn a_message_over_the_limit_of_framed_delivery_ends_a_version_1_connection() {
    let relay = Relay::with(&["--delivery", "framed", "--max-message", "1000B"]);
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    from.send_to("to", [b'x'; 1000]);
    to.expect(frame(b"from", &[b'x'; 1000]));
    from.send("to|1001|");
    from.expect_closed();
    relay.process.expect_stderr("a message of 1001 bytes is over the limit");
}

#[test]
fn a_slow_recipient_pauses_its_senders_and_nobody_else() {
    let relay = Relay::with(&["--write-timeout", "1h"]);
    let mut slow = relay.client("slow");
    let mut a = relay.client("a");
    let mut b = relay.client("b");
    let mut flooder = relay.client("flooder");
    // More than the queue and all socket buffers on the way can hold: the sender is stopped by backpressure.
    let total = 200 << 20;
    let chunk = frame(b"slow", &[b'f'; 32_000]);
    let messages = total / 32_000;
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| (0..messages).for_each(|_| flooder.send(&chunk)));
        for n in 0..500 {
            a.send_to("b", format!("{n:08}"));
            b.expect(format!("{n:08}"));
        }
        assert!(!flood.is_finished(), "the flooding sender is paused");
        let received = slow.receive(messages * 32_000);
        assert!(received.iter().all(|byte| *byte == b'f'), "and nothing is lost");
    });
}

#[test]
fn a_recipient_that_accepts_nothing_is_cut_and_its_senders_go_on() {
    let relay = Relay::with(&["--write-timeout", "700ms"]);
    let stuck = relay.client("stuck");
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    let since = Instant::now();
    let chunk = frame(b"stuck", &[b'f'; 32_000]);
    // Only the end of the stuck client lets all of this through.
    for _ in 0..(100 << 20) / 32_000 {
        from.send(&chunk);
    }
    assert!(since.elapsed() >= Duration::from_millis(700), "not before the deadline");
    from.send_to("to", "going on");
    to.expect("going on");
    relay.process.expect_stderr("it did not read what was sent to it");
    relay.client("stuck");
    drop(stuck);
}

#[test]
fn a_client_that_ends_its_sending_side_receives_what_is_queued_and_is_then_unregistered() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    let mut from = relay.client("from");
    let mut other = relay.client("other");
    // More than the socket buffers take, until the sender is paused: then something is queued in the relay.
    let payload = pattern(60_000);
    let sent = from.flood("to", &payload);
    // The relay goes on meanwhile, and what is on its way to the finished client is not dropped.
    to.shutdown_write();
    other.sync(b"other");
    let received = to.receive_all();
    assert!(received.len() >= 1 << 20, "at least a full queue came: {} of {sent}", received.len());
    for (at, byte) in received.iter().enumerate() {
        assert_eq!(*byte, payload[at % payload.len()], "in order, at {at}");
    }
    // And the name is free.
    relay.client("to");
}

#[test]
fn a_name_is_free_at_once_when_its_holder_disconnects() {
    let relay = Relay::start();
    for ends in 1..20 {
        drop(relay.client("name"));
        relay.process.wait_stderr("the end of the session", |log| {
            (log.matches("left name=name").count() == ends).then_some(())
        });
    }
    if crate::harness::is_wine() {
        // It does not tell a program that a connection was reset.
        return;
    }
    relay.client("name").reset();
    relay
        .process
        .wait_stderr("the end of the session", |log| log.contains("the connection was lost").then_some(()));
    relay.client("name");
}

#[test]
fn a_taken_name_is_refused_at_once_and_its_holder_notices_nothing() {
    let relay = Relay::start();
    let mut holder = relay.client("name");
    let mut second = relay.connect();
    second.send("name|name|4|evil");
    second.expect_closed();
    holder.send_to("name", "mine");
    holder.expect("mine");
    relay.process.expect_stderr("the name name is taken");
}

#[test]
fn a_connection_that_does_not_register_is_cut_after_three_seconds() {
    let relay = Relay::start();
    measured(Duration::from_secs(3), Duration::from_secs(5), || {
        let since = Instant::now();
        let mut silent = relay.connect();
        let mut unfinished = relay.connect();
        unfinished.send("almost");
        silent.expect_closed();
        unfinished.expect_closed();
        since.elapsed()
    });
}

#[test]
fn names_may_be_any_bytes() {
    let relay = Relay::start();
    let binary: Vec<u8> = (0..=255).filter(|byte| *byte != b'|').collect();
    assert_eq!(binary.len(), 255);
    let mut odd = relay.client(&binary);
    let mut from = relay.client("\u{1b}[31m\r\n");
    from.send_to(&binary, "for odd");
    odd.expect("for odd");
    odd.send_to("\u{1b}[31m\r\n", "back");
    from.expect("back");
    relay.process.expect_stderr("\\u{1b}[31m\\r\\n");
    assert!(!relay.process.stderr().contains('\u{1b}'), "no escape reaches the terminal");
}

#[test]
fn a_client_that_ends_its_frames_with_a_line_end_finds_nobody_and_the_log_says_why() {
    const HINT: &str = "a message for a name that begins with a line end was discarded";
    let relay = Relay::start();
    let mut to = relay.client("to");
    // As a client that prints lines: the line end behind each frame is the beginning of the next destination.
    let mut lines = relay.connect();
    lines.send("ln|\n");
    for _ in 0..20 {
        lines.send("to|2|hi\n");
    }
    relay.logged(&["INFO", "name=ln", "to=\\nto", HINT]);
    let mut session = relay.connect();
    session.send(frame(b"", br#"{"hello":2,"register":"session"}"#));
    assert_eq!(session.control()["registered"], "session");
    // Version 2 is told.
    session.send_to("\r\nto", "hi");
    assert_eq!(session.control()["undeliverable"]["dest"], "\r\nto");
    lines.send("x");
    drop(lines);
    relay.logged(&["left", "name=ln"]);
    session.send_to("to", "hello");
    to.expect("hello");
    assert_eq!(relay.log_at_end().matches(HINT).count(), 1);
}
