//! What a stream keeps of the two connections it is made of: every byte, half-closes, resets.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    thread,
};

use crate::harness::{Exposer, Forwarder, Relay, Service, Socket, echo, pattern, public_relay};

/// A service that the test takes the connections of, exposed as `web` on a public port.
fn public_service() -> (Relay, Service, Exposer, SocketAddr) {
    let (relay, _) = public_relay(8, &[]);
    let service = Service::start();
    let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    (relay, service, exposer, public)
}

/// Both ends of one stream.
fn stream() -> (Socket, Socket, impl Sized) {
    let (relay, service, exposer, public) = public_service();
    let mut visitor = Socket::connect(public);
    let mut local = service.accept();
    visitor.send("ready?");
    local.expect("ready?");
    (visitor, local, (relay, service, exposer))
}

#[test]
fn the_visitor_may_end_its_side_first() {
    let (mut visitor, mut local, _tunnel) = stream();
    visitor.send("question");
    visitor.shutdown_write();
    assert_eq!(local.receive_all(), b"question");
    local.send("answer");
    visitor.expect("answer");
    local.send(" and more");
    local.shutdown_write();
    assert_eq!(visitor.receive_all(), b" and more");
}

#[test]
fn the_service_may_end_its_side_first() {
    let (mut visitor, mut local, _tunnel) = stream();
    local.send("all I have");
    local.shutdown_write();
    assert_eq!(visitor.receive_all(), b"all I have");
    visitor.send("thank you");
    local.expect("thank you");
    visitor.send(", bye");
    visitor.shutdown_write();
    assert_eq!(local.receive_all(), b", bye");
}

#[test]
fn half_closes_go_through_forward_too() {
    let relay = Relay::start();
    let service = Service::start();
    let _exposer = Exposer::start(&relay, "web", service.address());
    let forwarder = Forwarder::start(&relay, "web");
    for visitor_first in [true, false] {
        let mut visitor = forwarder.connect();
        visitor.send("x");
        let mut local = service.accept();
        local.expect("x");
        let (first, second) =
            if visitor_first { (&mut visitor, &mut local) } else { (&mut local, &mut visitor) };
        first.send("question");
        first.shutdown_write();
        assert_eq!(second.receive_all(), b"question");
        second.send("answer");
        second.shutdown_write();
        assert_eq!(first.receive_all(), b"answer");
    }
}

fn expect_reset(socket: &mut Socket) {
    let error = socket.0.read(&mut [0; 16]).expect_err("a reset, not an end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
#[cfg(unix)]
fn a_reset_is_a_reset_at_the_other_end() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine does not tell a program that a connection was reset");
    }
    let (visitor, mut local, _tunnel) = stream();
    visitor.reset();
    expect_reset(&mut local);
    let (mut visitor, local, _tunnel) = stream();
    local.reset();
    expect_reset(&mut visitor);
}

#[test]
#[cfg(unix)]
fn a_reset_after_a_half_close_is_one_too() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine does not tell a program that a connection was reset");
    }
    let (visitor, mut local, _tunnel) = stream();
    visitor.shutdown_write();
    assert_eq!(local.receive_all(), b"");
    visitor.reset();
    // The service waits for nothing and sends nothing, but hears of it.
    crate::harness::eventually("the service hears of the reset", || local.0.take_error().unwrap().is_some());
}

#[test]
fn many_streams_at_once_do_not_mix() {
    // However slow the machine is, none is turned away: only the test's own deadline counts.
    let relay = Relay::with(&["--open-timeout", "10m"]);
    let _exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--connect-timeout", "10m"]);
    let forwarder = Forwarder::with(&relay, "web", &["--retry-for", "10m", "--connect-timeout", "10m"]);
    // Under wine each call of each program goes through one process, and takes the longer the more sockets there are.
    let count = if crate::harness::is_wine() { 50 } else { 200 };
    let mut visitors: Vec<Socket> = (0..count).map(|_| forwarder.connect()).collect();
    // All are open before the first gets an answer, and all answers are one's own.
    for round in 0..3 {
        for (n, visitor) in visitors.iter_mut().enumerate() {
            visitor.send(format!("round {round} of visitor {n:04}"));
        }
        for (n, visitor) in visitors.iter_mut().enumerate() {
            visitor.expect(format!("round {round} of visitor {n:04}"));
        }
    }
}

/// Sends and receives at the same time, and gives what came.
fn both_ways(visitor: &Socket, bytes: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(|| {
            (&visitor.0).write_all(bytes).unwrap();
            visitor.shutdown_write();
        });
        let mut received = Vec::new();
        (&visitor.0).read_to_end(&mut received).unwrap();
        received
    })
}

#[test]
fn megabytes_go_both_ways_at_once_unchanged() {
    let (relay, _) = public_relay(4, &[]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "web");
    let bytes = pattern(64 << 20);
    for address in [exposer.public("web"), forwarder.address()] {
        let received = both_ways(&Socket::connect(address), &bytes);
        assert!(received == bytes, "{} of {} bytes through {address}", received.len(), bytes.len());
    }
}

#[test]
fn bulk_and_small_talk_may_alternate() {
    let (mut visitor, mut local, _tunnel) = stream();
    let bulk = pattern(3 << 20);
    for n in 0..20 {
        let sender = thread::spawn({
            let (mut visitor, bulk) = (visitor.0.try_clone().unwrap(), bulk.clone());
            move || visitor.write_all(&bulk).unwrap()
        });
        assert!(local.receive(bulk.len()) == bulk, "round {n}");
        sender.join().unwrap();
        let word = format!("round {n}");
        local.send(&word);
        visitor.expect(&word);
        visitor.send(&word);
        local.expect(&word);
    }
}

#[test]
#[cfg(unix)]
fn both_ends_leave_at_a_signal_and_break_what_runs() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    for ends_exposer in [true, false] {
        let relay = Relay::start();
        let service = Service::start();
        let mut exposer = Exposer::start(&relay, "web", service.address());
        let mut forwarder = Forwarder::start(&relay, "web");
        let mut visitor = forwarder.connect();
        visitor.send("x");
        let mut local = service.accept();
        local.expect("x");
        local.send("half of ");
        visitor.expect("half of ");
        let (process, other) = if ends_exposer {
            (&mut exposer.process, &mut visitor)
        } else {
            (&mut forwarder.process, &mut local)
        };
        process.signal("TERM");
        process.expect_exit(0);
        // Nobody is to take what was cut off for the whole.
        expect_reset(other);
        if ends_exposer {
            relay.logged(&["no longer exposed", "service=web"]);
        }
    }
}
