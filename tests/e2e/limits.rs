//! Who is turned away at the door: addresses that are not wanted, and more connections than there may be.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Instant,
};

use socket2::{Domain, Socket as System, Type};

use crate::harness::{Relay, Socket, eventually, frame, own_ip};

/// A connection from an address of one's own choice; all of 127.0.0.0/8 is this machine on Linux.
fn connect_from(ip: [u8; 4], to: SocketAddr) -> Socket {
    let socket = System::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let socket = Socket(TcpStream::from(socket));
    socket.0.set_read_timeout(Some(*crate::harness::DEADLINE)).unwrap();
    socket
}

/// A range of addresses that has the one this machine's clients come from.
fn own_range() -> String {
    let IpAddr::V4(ip) = own_ip() else { panic!("the tests use IPv4") };
    format!("{}/30", Ipv4Addr::from_bits(ip.to_bits() & !3))
}

/// Whether a connection is taken: whoever is turned away sees the end before having said anything.
fn is_taken(mut socket: Socket) -> Option<Socket> {
    use std::io::{Read, Write};
    let name = format!("{}", socket.0.local_addr().unwrap());
    let _ = socket.0.write_all(format!("{name}|{name}|2|ok").as_bytes());
    matches!(socket.0.read(&mut [0; 2]), Ok(2)).then_some(socket)
}

#[test]
fn allow_takes_connections_from_these_addresses_only() {
    let relay = Relay::with(&["--allow", &own_range(), "--allow", "192.0.2.7"]);
    assert!(is_taken(relay.connect()).is_some());
    let relay = Relay::with(&["--allow", "192.0.2.0/24", "--allow", "::1"]);
    let socket = relay.connect();
    let address = socket.0.local_addr().unwrap().to_string();
    assert!(is_taken(socket).is_none());
    relay.logged(&["WARN", "turned away", &address, "not allowed"]);
}

#[test]
fn deny_takes_no_connections_from_these_addresses() {
    let relay =
        Relay::with(&["--deny", "192.0.2.0/24", "--deny", &own_range(), "--allow", &own_ip().to_string()]);
    assert!(is_taken(relay.connect()).is_none());
    let relay = Relay::with(&["--deny", "192.0.2.0/24"]);
    assert!(is_taken(relay.connect()).is_some());
}

#[test]
fn an_address_of_ipv4_is_the_same_on_a_socket_for_both_families() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run(
            "a relay in a container listens on all addresses of IPv4, whatever it is told",
        );
    }
    for (range, taken) in [("127.0.0.0/8", false), ("10.0.0.0/8", true)] {
        let relay = Relay::listening("[::]:0", &["--deny", range]);
        let address = ([127, 0, 0, 1], relay.address().port()).into();
        assert_eq!(is_taken(Socket::connect(address)).is_some(), taken, "{range}");
    }
}

#[test]
fn max_connections_turns_the_next_away_until_one_leaves() {
    let relay = Relay::with(&["--max-connections", "3"]);
    let mut inside: Vec<Socket> = (0..3).map(|_| is_taken(relay.connect()).unwrap()).collect();
    for _ in 0..3 {
        assert!(is_taken(relay.connect()).is_none());
    }
    // The first has a line of its own; the others are told in the next second, or in two if it began between them.
    relay.process.wait_stderr("the three that were turned away", |log| {
        let lines = log
            .lines()
            .filter(|line| line.contains("turned away") && line.contains("--max-connections allows"));
        let others = |line: &str| line.split(" others=").nth(1)?.split(' ').next()?.parse::<usize>().ok();
        (lines.map(|line| others(line).unwrap_or(1)).sum::<usize>() == 3).then_some(())
    });
    inside.pop();
    // The relay hears of it a moment later.
    let mut next = None;
    eventually("there is room again", || {
        next = is_taken(relay.connect());
        next.is_some()
    });
    assert!(is_taken(relay.connect()).is_none());
}

#[test]
fn a_connection_that_says_nothing_counts() {
    let relay = Relay::with(&["--max-connections", "1", "--register-timeout", "20s"]);
    let silent = relay.connect();
    eventually("the silent one has the place", || is_taken(relay.connect()).is_none());
    drop(silent);
    eventually("the place is free", || is_taken(relay.connect()).is_some());
}

#[test]
fn max_connections_per_address_leaves_room_for_other_addresses() {
    let relay = Relay::with(&["--max-connections-per-address", "2"]);
    let mut inside: Vec<Socket> = (0..2).map(|_| is_taken(relay.connect()).unwrap()).collect();
    assert!(is_taken(relay.connect()).is_none());
    relay.logged(&["turned away", "--max-connections-per-address allows"]);
    if cfg!(target_os = "linux") && !crate::harness::is_in_container() {
        let other = |_| is_taken(connect_from([127, 0, 0, 2], relay.address())).unwrap();
        let others: Vec<Socket> = (0..2).map(other).collect();
        assert!(is_taken(connect_from([127, 0, 0, 2], relay.address())).is_none());
        drop(others);
    }
    inside.pop();
    eventually("there is room again", || is_taken(relay.connect()).is_some());
}

#[test]
fn new_connections_per_second_is_a_rate_for_each_address() {
    let relay = Relay::with(&["--new-connections-per-second", "5"]);
    let since = Instant::now();
    let mut taken = 0;
    while taken < 15 {
        taken += u32::from(is_taken(relay.connect()).is_some());
    }
    // Five at once, ten more at five each second.
    let took = since.elapsed().as_secs_f64();
    assert!(took >= 1.9, "15 connections after {took} s");
    relay.logged(&["turned away", "--new-connections-per-second allows"]);
    if cfg!(target_os = "linux") && !crate::harness::is_in_container() {
        assert!(is_taken(connect_from([127, 0, 0, 3], relay.address())).is_some(), "another address");
    }
}

#[test]
fn max_streams_per_service_refuses_the_next_visitor() {
    let relay = Relay::with(&["--max-streams-per-service", "2"]);
    let ask = |hello: &str| {
        let mut socket = relay.connect();
        socket.send(frame(b"", hello.as_bytes()));
        socket
    };
    let expose = |name: &str| {
        let mut service = ask(&format!(r#"{{"hello":2,"expose":"{name}"}}"#));
        assert_eq!(service.control()["exposed"], name);
        service
    };
    let (mut web, mut ssh) = (expose("web"), expose("ssh"));
    // Nobody parks a connection for them, so they wait, and count.
    let visitors: Vec<Socket> = (1..=2)
        .map(|n| {
            let visitor = ask(r#"{"hello":2,"open":"web"}"#);
            assert_eq!(web.control()["wanted"], n);
            visitor
        })
        .collect();
    let mut third = ask(r#"{"hello":2,"open":"web"}"#);
    assert_eq!(third.control()["error"]["code"], "too_many_streams");
    // Another service has its own.
    let _other = ask(r#"{"hello":2,"open":"ssh"}"#);
    assert_eq!(ssh.control()["wanted"], 1);
    drop(visitors);
}
