//! Programs that are killed in the middle of a stream: whoever is at its ends can tell that from its end.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use crate::harness::{
    Exposer, Forwarder, Relay, Service, Socket, is_in_container, is_wine, not_run, pattern, public_relay,
};

/// What is sent before the tunnel rests: nothing is on its way when a program is killed.
const PART_BYTES: usize = 100_000;

/// A tunnel and both ways into it.
struct Tunnel {
    relay: Relay,
    exposer: Exposer,
    forwarder: Forwarder,
    service: Service,
    public: SocketAddr,
}

impl Tunnel {
    fn start() -> Option<Self> {
        if is_wine() {
            not_run("wine passes the end of a connection on where there was a reset");
            return None;
        }
        if is_in_container() {
            not_run("what is killed is the engine's program, not the relay");
            return None;
        }
        let (relay, _) = public_relay(1, &["--log-level", "debug"]);
        let service = Service::start();
        let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
        let public = exposer.public("web");
        let forwarder = Forwarder::start(&relay, "web");
        Some(Self { relay, exposer, forwarder, service, public })
    }

    /// Both ends of one stream, which carries something.
    fn stream(&self, by_port: bool) -> (Socket, Socket) {
        let mut visitor = if by_port { Socket::connect(self.public) } else { self.forwarder.connect() };
        visitor.send("GET");
        let mut local = self.service.accept();
        local.expect("GET");
        (visitor, local)
    }
}

fn expect_reset(socket: &mut Socket, what: &str) {
    let mut bytes = Vec::new();
    let error = socket.0.read_to_end(&mut bytes).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{what}");
}

#[test]
fn a_download_or_upload_whose_tunnel_is_killed_ends_with_an_error() {
    for n in 0..20 {
        let Some(mut tunnel) = Tunnel::start() else { return };
        let (mut visitor, mut local) = tunnel.stream(n % 4 < 2);
        let part = pattern(PART_BYTES);
        // At rest, and in full flow.
        if n < 10 {
            local.send(&part);
            visitor.expect(&part);
        } else {
            let mut sending = Socket(local.0.try_clone().unwrap());
            thread::spawn(move || while sending.0.write_all(&[b'x'; 64 << 10]).is_ok() {});
            visitor.receive(PART_BYTES);
        }
        let killed = if n % 2 == 0 { &mut tunnel.relay.process } else { &mut tunnel.exposer.process };
        killed.kill();
        expect_reset(&mut visitor, &format!("the visitor of round {n}"));
        // One that writes may have heard of it by that.
        if n < 10 {
            expect_reset(&mut local, &format!("the service of round {n}"));
        }
    }
}

#[test]
fn a_program_that_is_killed_before_the_first_byte_is_no_empty_answer() {
    for n in 0..3 {
        let Some(mut tunnel) = Tunnel::start() else { return };
        // Half of the question has ended, and the answer has not begun.
        let (mut visitor, mut local) = tunnel.stream(n != 2);
        visitor.shutdown_write();
        assert_eq!(local.receive_all(), b"");
        let killed = match n {
            0 => &mut tunnel.relay.process,
            1 => &mut tunnel.exposer.process,
            _ => &mut tunnel.forwarder.process,
        };
        killed.kill();
        expect_reset(&mut visitor, &format!("the visitor of round {n}"));
        drop(local);
    }
}

#[test]
fn a_visitor_that_waits_for_the_service_when_the_relay_is_killed_gets_no_empty_answer() {
    if is_wine() || is_in_container() {
        return not_run("what is killed has to be the relay");
    }
    let (mut relay, _) = public_relay(1, &[]);
    let mut control = relay.connect();
    control.send(crate::harness::frame(b"", br#"{"hello":2,"expose":"web","port":0}"#));
    let port = control.control()["port"].as_u64().unwrap() as u16;
    let mut visitor = Socket::connect(([127, 0, 0, 1], port).into());
    assert_eq!(control.control()["wanted"], 1);
    relay.process.kill();
    expect_reset(&mut visitor, "the visitor");
}

#[test]
fn what_ended_in_order_arrives_whole_whatever_its_size_and_however_slow_its_reader() {
    let (relay, _) = public_relay(1, &[]);
    let service = Service::start();
    let exposer = Exposer::with(&relay, ["web", &service.address().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    let forwarder = Forwarder::start(&relay, "web");
    let bytes = pattern(3 << 20);
    for n in 0..200usize {
        let visitor = if n % 2 == 0 { Socket::connect(public) } else { forwarder.connect() };
        // From nothing to more than all buffers hold.
        let is_slow = n % 10 == 3;
        let most = if is_slow { 600_000 } else { 3 << 20 };
        let (up, down) = (&bytes[..n * n * 7 % 200_000], &bytes[..(n * n * n * 131) % most]);
        if is_slow {
            socket2::SockRef::from(&visitor.0).set_recv_buffer_size(64 << 10).unwrap();
        }
        (&visitor.0).write_all(b"!").unwrap();
        let mut local = service.accept();
        thread::scope(|scope| {
            scope.spawn(move || {
                if n % 4 < 2 {
                    // The service ends its side first, and the visitor when it has everything.
                    local.send(down);
                    local.shutdown_write();
                    assert!(local.receive_whole() == [b"!", up].concat(), "stream {n}");
                } else {
                    assert!(local.receive_whole() == [b"!", up].concat(), "stream {n}");
                    local.send(down);
                }
                // Closed at once, with everything still on its way.
            });
            let mut received = Vec::new();
            if n % 4 >= 2 {
                (&visitor.0).write_all(up).unwrap();
                visitor.shutdown_write();
            }
            let mut buffer = vec![0; if is_slow { 16 << 10 } else { 256 << 10 }];
            loop {
                match (&visitor.0).read(&mut buffer).unwrap_or_else(|e| panic!("stream {n}: {e}")) {
                    0 => break,
                    read => received.extend_from_slice(&buffer[..read]),
                }
                if is_slow {
                    // There is no event to wait for: it is slow.
                    thread::sleep(Duration::from_micros(500));
                }
            }
            assert!(received == down, "stream {n}: {} of {} bytes", received.len(), down.len());
            if n % 4 < 2 {
                (&visitor.0).write_all(up).unwrap();
            }
            drop(visitor);
        });
    }
}

#[test]
fn what_ended_in_order_arrives_whole_also_from_a_relay_that_is_killed_after_that() {
    let Some(mut tunnel) = Tunnel::start() else { return };
    let (visitor, mut local) = tunnel.stream(true);
    let bytes = pattern(200_000);
    // It stays with the relay's system until it is read.
    socket2::SockRef::from(&visitor.0).set_recv_buffer_size(32 << 10).unwrap();
    visitor.shutdown_write();
    local.send(&bytes);
    drop(local);
    tunnel.relay.logged(&["stream ended", "sent=200000"]);
    tunnel.relay.process.kill();
    let mut received = Vec::new();
    (&visitor.0).read_to_end(&mut received).unwrap();
    assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
}

#[test]
fn standard_input_and_output_arrive_whole_and_are_reset_when_forward_is_killed() {
    let Some(tunnel) = Tunnel::start() else { return };
    let service = &tunnel.service;
    let standard = || {
        let relay = tunnel.relay.address().to_string();
        crate::harness::Process::spawn(crate::harness::command(["forward", "web", "-", "--relay", &relay]))
    };
    let mut killed = standard();
    killed.write("half of ");
    let mut local = service.accept();
    local.expect("half of ");
    killed.kill();
    expect_reset(&mut local, "the service");
    let bytes = pattern(200_000);
    let mut whole = standard();
    whole.write(&bytes);
    let mut local = service.accept();
    local.shutdown_write();
    whole.expect_exit(0);
    assert!(bytes.starts_with(&local.receive_whole()));
}
