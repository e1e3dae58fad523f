//! Bad input: whatever somebody sends, bystanders notice nothing, memory stays flat, and the log says who and why.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use crate::harness::{DEADLINE, Relay, Socket, beside_bystanders, frame, option, scaled};

fn local(socket: &Socket) -> String {
    format!("address={}", socket.0.local_addr().unwrap())
}

/// Sends one byte after the other, far apart, until the relay ends the connection; says how many it took.
fn drip(socket: &mut Socket, bytes: impl Iterator<Item = u8>, apart: Duration) -> usize {
    socket.0.set_read_timeout(Some(apart)).unwrap();
    let since = Instant::now();
    for (sent, byte) in bytes.enumerate() {
        assert!(since.elapsed() < *DEADLINE, "it was never cut");
        // Waiting for the end is what keeps the bytes apart.
        match socket.0.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return sent,
            Ok(_) => panic!("the relay answers"),
        }
        if socket.0.write_all(&[byte]).is_err() {
            return sent;
        }
    }
    panic!("it was never cut");
}

#[test]
fn silence() {
    let (register, idle) = (option(scaled(1500)), option(scaled(2000)));
    let relay = Relay::with(&["--register-timeout", &register, "--idle-timeout", &idle]);
    beside_bystanders(&relay, || {
        let mut stranger = relay.connect();
        let mut client = relay.client("client");
        stranger.expect_closed();
        client.expect_closed();
        relay.logged(&["refused", &local(&stranger), "it did not register in time"]);
        relay.logged(&["disconnected", "name=client", &local(&client), "it was silent for too long"]);
    });
}

#[test]
fn one_byte_now_and_then() {
    let limit = scaled(1000);
    let relay = Relay::with(&["--register-timeout", &option(limit), "--idle-timeout", &option(limit)]);
    beside_bystanders(&relay, || {
        // The deadline is for the whole registration, not for each byte.
        let since = Instant::now();
        let mut stranger = relay.connect();
        let sent = drip(&mut stranger, std::iter::repeat_n(b'n', 200), Duration::from_millis(100));
        assert!(since.elapsed() >= limit && sent < 100, "{sent} bytes");
        relay.logged(&["refused", &local(&stranger), "it did not register in time"]);
        // A header that never ends, once registered: it is not idle, but no header is that long.
        let mut client = relay.client("client");
        let sent = drip(&mut client, std::iter::repeat(b'n'), Duration::from_millis(10));
        assert!(sent >= 256, "{sent} bytes");
        relay.logged(&["disconnected", "name=client", "a name longer than 255 bytes"]);
        // A message that comes that slowly is a message.
        let mut from = relay.client("from");
        let mut to = relay.client("to");
        from.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        for byte in b"to|30|a message in drops, whole as it" {
            assert!(from.0.read(&mut [0]).is_err(), "nothing comes, and no end");
            from.send([*byte]);
            to.send_to("to", "");
        }
        to.expect("a message in drops, whole as i");
    });
}

#[test]
fn a_megabyte_without_a_separator() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        let garbage = vec![b'n'; 1 << 20];
        let mut stranger = relay.connect();
        let mut client = relay.client("client");
        // The relay ends both long before the last byte, which is how the writes may end as well.
        let _ = stranger.0.write_all(&garbage);
        let _ = client.0.write_all(&garbage);
        stranger.expect_closed();
        client.expect_closed();
        relay.logged(&["refused", &local(&stranger), "the name is longer than 255 bytes"]);
        relay.logged(&["disconnected", "name=client", &local(&client), "a name longer than 255 bytes"]);
    });
}

#[test]
fn an_empty_name() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        // The separator first is how version 2 begins, and none of these is its hello.
        for (bytes, why) in [
            ("||", "a length without digits"),
            ("|device_b|5|hello", "a length with the byte 0x64"),
            ("|5|hello", "not a JSON object"),
            ("|0|", "not a JSON object"),
        ] {
            let mut stranger = relay.connect();
            stranger.send(bytes);
            assert_eq!(stranger.control()["error"]["code"], "bad_frame", "{bytes}");
            stranger.expect_closed();
            relay.logged(&["refused", &local(&stranger), why]);
        }
        let mut stranger = relay.connect();
        stranger.send(frame(b"", br#"{"hello":2,"register":""}"#));
        assert_eq!(stranger.control()["error"]["code"], "bad_name");
        relay.logged(&["refused", &local(&stranger), "the name is empty"]);
    });
}

#[test]
fn a_name_of_256_bytes() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        let mut longest = relay.client([b'n'; 255]);
        let mut stranger = relay.connect();
        stranger.send([&[b'n'; 256][..], b"|"].concat());
        stranger.expect_closed();
        relay.logged(&["refused", &local(&stranger), "the name is longer than 255 bytes"]);
        let mut client = relay.client("client");
        client.send(frame(&[b'n'; 256], b"x"));
        client.expect_closed();
        relay.logged(&["disconnected", "name=client", "a name longer than 255 bytes"]);
        longest.sync(&[b'n'; 255]);
    });
}

#[test]
fn ten_thousand_digits() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        for digit in ["0", "9"] {
            let mut client = relay.client(format!("client{digit}"));
            let _ = client.0.write_all(format!("alice|{}", digit.repeat(10_000)).as_bytes());
            client.expect_closed();
            relay.logged(&["disconnected", &format!("name=client{digit}"), "protocol error: a length"]);
        }
        let mut stranger = relay.connect();
        let _ = stranger.0.write_all(format!("|{}", "1".repeat(10_000)).as_bytes());
        stranger.receive_all();
        relay.logged(&["refused", &local(&stranger), "a length of more than 20 digits"]);
    });
}

/// Every way to leave within a registration and a frame, `leave` being the last thing a client does.
fn leave_at_every_byte(delivery: &str, leave: impl Fn(Socket)) -> (Relay, Socket) {
    let relay = Relay::with(&["--delivery", delivery, "--log-level", "debug"]);
    let to = relay.client("to");
    beside_bystanders(&relay, || {
        let bytes = b"client|to|5|hello";
        for end in 0..=bytes.len() {
            let mut client = relay.connect();
            client.send(&bytes[..end]);
            let address = client.0.local_addr().unwrap();
            leave(client);
            // Registered or not, its end is noticed and the name is free for the next.
            relay.process.wait_stderr("the end of the client", |log| {
                log.lines()
                    .any(|line| line.contains("left") && line.contains(&format!("address={address}")))
                    .then_some(())
            });
        }
        relay.client("client");
    });
    (relay, to)
}

#[test]
fn a_disconnect_at_every_byte_of_a_frame() {
    let (_relay, mut to) = leave_at_every_byte("raw", drop);
    // What came of each unfinished message, then the whole one, and nothing else.
    to.expect("hhehelhellhello");
    to.sync(b"to");
    let (_relay, mut to) = leave_at_every_byte("framed", drop);
    to.expect("client|5|hello");
    to.send_to("to", "only that");
    to.expect("to|9|only that");
}

#[test]
#[cfg(unix)]
fn a_reset_at_every_byte_of_a_frame() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine does not tell a program that a connection was reset");
    }
    let (_relay, mut to) = leave_at_every_byte("framed", Socket::reset);
    // A reset may take the whole message with it, but never leaves a part.
    to.send_to("to", "end");
    let mut seen = Vec::new();
    while !seen.ends_with(b"to|3|end") {
        seen.extend(to.receive(1));
    }
    assert!(matches!(&seen[..], b"to|3|end" | b"client|5|helloto|3|end"), "{}", seen.escape_ascii());
}

#[test]
fn binary_names_and_names_that_steer_a_terminal() {
    let relay = Relay::start();
    beside_bystanders(&relay, || {
        let every: Vec<u8> = (0..=255u8).filter(|byte| *byte != b'|').collect();
        let steering = b"\x1b[2J\x1b]0;owned\x07\r\n";
        let mut one = relay.client(&every);
        let mut other = relay.client(steering);
        one.send_to(steering, every.as_slice());
        other.expect(&every);
        other.send_to(&every, steering);
        one.expect(steering);
        other.send("x|?|");
        other.expect_closed();
        relay.logged(&["disconnected", r"name=\u{1b}[2J\u{1b}]0;owned\u{7}\r\n", &local(&other)]);
    });
    let log = relay.log_at_end();
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
}
