//! A local service under a name: who is reached how, and what it is told.

use std::{io::Write, net::SocketAddr};

use crate::harness::{
    Exposer, Forwarder, Process, Relay, Service, Socket, command, echo, expose_command, frame,
    is_in_container, pattern, public_relay, service,
};

fn expect_echo(mut visitor: Socket, bytes: &[u8]) {
    visitor.send(bytes);
    visitor.expect(bytes);
    visitor.shutdown_write();
    visitor.expect_closed();
}

#[test]
fn a_service_is_reached_by_its_name() {
    let relay = Relay::start();
    let address = echo();
    let exposer = Exposer::start(&relay, "web", address);
    let line = format!(
        "{address} is reached with: relay forward web {} --relay {}\n",
        address.port(),
        relay.address()
    );
    assert_eq!(exposer.process.stdout(), line);
    let forwarder = Forwarder::start(&relay, "web");
    let line = format!("Listening on {}; it leads to web\n", forwarder.address());
    assert_eq!(forwarder.process.stdout(), line);
    for _ in 0..20 {
        expect_echo(forwarder.connect(), b"hello");
    }
}

#[test]
fn a_port_alone_is_one_of_this_machine() {
    let relay = Relay::start();
    let _exposer = Exposer::with(&relay, ["web", &echo().port().to_string()]);
    let mut forward = command(["forward", "web", "0", "--relay", &relay.address().to_string()]);
    forward.env("RELAY_LOG", "debug");
    let forward = Process::spawn(forward);
    let address = forward.wait_stdout("the address", crate::harness::announced);
    assert!(address.ip().is_loopback(), "{address} is open to others");
    expect_echo(Socket::connect(address), b"hello");
}

#[test]
fn a_public_port_is_the_one_that_was_asked_for_or_any_that_is_free() {
    let (relay, ports) = public_relay(3, &[]);
    let address = echo();
    let web = Exposer::with(&relay, ["web", &address.to_string(), "--port", &ports.end().to_string()]);
    assert_eq!(web.public("web").port(), *ports.end());
    let line = format!(
        "{address} is reached at {}:{} and with: relay forward web {} --relay {}\n",
        relay.address().ip(),
        ports.end(),
        address.port(),
        relay.address()
    );
    assert_eq!(web.process.stdout(), line);
    let others: Vec<Exposer> = ["a", "b"]
        .iter()
        .map(|name| Exposer::with(&relay, [name, &address.to_string()[..], "--port", "0"]))
        .collect();
    let mut seen = vec![web.public("web"), others[0].public("a"), others[1].public("b")];
    for public in &seen {
        assert!(ports.contains(&public.port()), "{public}");
        expect_echo(Socket::connect(*public), b"hello");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    // The name leads to the same service.
    expect_echo(Forwarder::start(&relay, "web").connect(), b"hello");
}

#[test]
fn one_program_exposes_several_services() {
    let (relay, _) = public_relay(4, &[]);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        service(move |mut socket| {
            let _ = socket.0.write_all(name.as_bytes());
        })
        .to_string()
    });
    let exposer = Exposer::with(&relay, ["a", &a, "b", &b, "c", &c, "--port", "b=0", "--port", "c=0"]);
    for name in ["a", "b", "c"] {
        exposer.announced(name, 1);
        let forwarder = Forwarder::start(&relay, name);
        assert_eq!(forwarder.connect().receive_all(), name.as_bytes());
    }
    for name in ["b", "c"] {
        assert_eq!(Socket::connect(exposer.public(name)).receive_all(), name.as_bytes());
    }
    assert!(!exposer.process.stdout().lines().any(|l| l.contains("forward a ") && l.contains("reached at")));
}

#[test]
fn the_service_may_speak_first() {
    let (relay, _) = public_relay(4, &[]);
    let greeting = service(|mut socket| {
        let _ = socket.0.write_all(b"220 ready\r\n");
        let _ = std::io::copy(&mut &socket.0, &mut &socket.0);
    });
    let exposer = Exposer::with(&relay, ["mail", &greeting.to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "mail");
    for address in [exposer.public("mail"), forwarder.address()] {
        let mut visitor = Socket::connect(address);
        visitor.expect("220 ready\r\n");
        visitor.send("QUIT");
        visitor.expect("QUIT");
    }
}

#[test]
fn what_is_sent_together_with_the_hello_is_not_lost() {
    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "web", echo());
    let hello = frame(b"", br#"{"hello":2,"open":"web"}"#);
    for length in [1, 900, 1024, 5000, 300_000] {
        let data = pattern(length);
        let mut visitor = relay.connect();
        visitor.send([&hello[..], &data].concat());
        assert_eq!(visitor.control()["opened"], "web");
        visitor.expect(&data);
        visitor.shutdown_write();
        visitor.expect_closed();
    }
}

/// The header that a service must receive for a connection from `from` to `to`, as the specification has it.
fn proxy_header(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut header = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21".to_vec();
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            header.extend([0x11, 0, 12]);
            header.extend(from.ip().octets());
            header.extend(to.ip().octets());
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            header.extend([0x21, 0, 36]);
            header.extend(from.ip().octets());
            header.extend(to.ip().octets());
        }
        _ => panic!("{from} and {to} are of different families"),
    }
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header
}

/// The service receives the header of a connection from `from` to `to`. In a container the relay has another address inside, if perhaps
/// the same port.
fn expect_proxy_header(local: &mut Socket, from: SocketAddr, to: SocketAddr) {
    let mut wanted = proxy_header(from, to);
    let mut received = local.receive(wanted.len());
    if is_in_container() {
        for header in [&mut wanted, &mut received] {
            header[20..24].fill(0);
            header[26..28].fill(0);
        }
    }
    assert_eq!(received.escape_ascii().to_string(), wanted.escape_ascii().to_string());
}

#[test]
fn proxy_protocol_tells_the_service_the_address_of_a_visitor() {
    let ports = crate::harness::free_ports(8);
    let range = format!("{}-{}", ports.start(), ports.end());
    for (listen, family) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
        if is_in_container() && listen != "127.0.0.1:0" {
            // It listens on all addresses of IPv4 whatever is asked for.
            continue;
        }
        if family == "::1" && std::net::TcpListener::bind("[::1]:0").is_err() {
            // Another test says so.
            continue;
        }
        let relay = Relay::listening(listen, &["--public-ports", &range]);
        let to_relay = if is_in_container() {
            relay.address()
        } else {
            SocketAddr::new(family.parse().unwrap(), relay.address().port())
        };
        let service = Service::start();
        let address = service.address().to_string();
        let arguments = ["web", &address, "--port=0", "--proxy-protocol", "v2"];
        let exposer = Process::spawn(expose_command(to_relay, arguments));
        let public = exposer.wait_stdout("the public address", |text| {
            text.split(" is reached at ").nth(1)?.split(' ').next()?.parse::<SocketAddr>().ok()
        });
        let mut visitor = Socket::connect(public);
        visitor.send("hello");
        let mut local = service.accept();
        expect_proxy_header(&mut local, visitor.0.local_addr().unwrap(), public);
        local.expect("hello");
        // Without the option, nothing comes before the visitor's bytes.
        let mut plain = Process::spawn(expose_command(to_relay, ["plain", &service.address().to_string()]));
        plain.expect_stdout(" is reached ");
        let mut opened = Socket::connect(to_relay);
        opened.send(frame(b"", br#"{"hello":2,"open":"plain"}"#));
        opened.send("hello");
        service.accept().expect("hello");
        // A stream that was opened by name has an address as well.
        let mut opened = Socket::connect(to_relay);
        opened.send(frame(b"", br#"{"hello":2,"open":"web"}"#));
        opened.send("hello");
        let mut local = service.accept();
        expect_proxy_header(&mut local, opened.0.local_addr().unwrap(), to_relay);
        local.expect("hello");
        plain.kill();
    }
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    for (arguments, words) in [
        (&["expose", "web"][..], "2 values required"),
        (&["expose", "web", "localhost:1", "ssh"], "the service ssh has no address"),
        (&["expose", "web", "no port"], "see `relay expose --help`"),
        (&["expose", "a|b", "localhost:1"], "see `relay expose --help`"),
        (&["expose", "web", "localhost:1", "--port", "65536"], "is not a port"),
        (&["expose", "web", "localhost:1", "--port", "ssh=1"], "check its spelling"),
        (&["expose", "web", "localhost:1", "ssh", "localhost:2", "--port", "1"], "--port 1 is whose?"),
        (&["expose", "web", "localhost:1", "--proxy-protocol", "v3"], "--proxy-protocol"),
        (&["expose", "web", "localhost:1", "--retry-for", "soon"], "--retry-for"),
        (&["forward", "web", "nowhere"], "see `relay forward --help`"),
        (&["forward", "a|b"], "NAME"),
        (&["serve", "--public-ports", "9099-9000"], "--public-ports"),
        (&["serve", "--public-ports", "many"], "--public-ports"),
        (&["serve", "--open-timeout", "0s"], "--open-timeout"),
    ] {
        let mut command = crate::harness::relay(arguments);
        if arguments[0] != "serve" {
            command.args(["--relay", "127.0.0.1:1"]);
        }
        command.assert().code(2).stdout("").stderr(predicates::str::contains(words));
    }
}
