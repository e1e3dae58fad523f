//! More visitors than a service or a relay can take: those who left cost nothing, and those there is no room for are told soon.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        DEADLINE, Exposer, Relay, Socket, announced, command, echo, eventually, expose_command, frame,
        free_ports, is_linux_process, not_run, public_relay, scaled,
    },
    tunnel_pool::limited,
};

fn descriptors(relay: &Relay) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", relay.process.id())).expect("the process runs").count()
}

/// A service by raw sockets, its key, and its public address.
fn expose(relay: &Relay) -> (Socket, String, SocketAddr) {
    let mut control = relay.connect();
    control.send(frame(b"", br#"{"hello":2,"expose":"web","port":0}"#));
    let answer = control.control();
    let port = answer["port"].as_u64().unwrap() as u16;
    (control, answer["key"].as_str().unwrap().to_owned(), ([127, 0, 0, 1], port).into())
}

fn park(relay: &Relay, key: &str) -> Socket {
    let mut socket = relay.connect();
    socket.send(frame(b"", format!(r#"{{"hello":2,"park":"web","key":"{key}"}}"#).as_bytes()));
    socket
}

fn open(relay: &Relay) -> Socket {
    let mut socket = relay.connect();
    socket.send(frame(b"", br#"{"hello":2,"open":"web"}"#));
    socket
}

#[test]
fn visitors_that_left_while_they_waited_are_neither_kept_nor_served() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let (relay, _) = public_relay(1, &["--open-timeout", "10m"]);
    let (_control, key, public) = expose(&relay);
    // One that says what it wants and waits for the answer is there until the end.
    let mut patient = Socket::connect(public);
    patient.send("question");
    patient.shutdown_write();
    let before = descriptors(&relay);
    for n in 0..3000 {
        let mut by_port = Socket::connect(public);
        match n % 3 {
            0 => by_port.reset(),
            1 => {
                by_port.send("hello");
                by_port.reset();
            }
            _ => drop(by_port),
        }
        let by_name = open(&relay);
        if n % 2 == 0 { by_name.reset() } else { drop(by_name) }
    }
    eventually("those who left are let go", || descriptors(&relay) <= before + 5);
    let mut living = open(&relay);
    let mut first = park(&relay, &key);
    let notice = first.control();
    assert_eq!(notice["stream"]["from"], patient.0.local_addr().unwrap().to_string(), "{notice}");
    first.expect("question");
    first.send("answer");
    patient.expect("answer");
    let notice = park(&relay, &key).control();
    assert_eq!(notice["stream"]["from"], living.0.local_addr().unwrap().to_string(), "{notice}");
    assert_eq!(living.control()["opened"], "web");
}

#[test]
fn a_visitor_of_forward_that_left_is_not_waited_for() {
    if crate::harness::is_wine() {
        return not_run("wine's sockets do not show a reset to a program that waits for one");
    }
    let relay = Relay::with(&["--open-timeout", "10m"]);
    let mut control = relay.connect();
    control.send(frame(b"", br#"{"hello":2,"expose":"web"}"#));
    let key = control.control()["key"].as_str().unwrap().to_owned();
    let forwarder =
        crate::harness::Forwarder::with(&relay, "web", &["--connect-timeout", "10m", "--log-level", "debug"]);
    forwarder.connect().reset();
    forwarder.logged(&["the visitor left while it waited"]);
    let mut living = forwarder.connect();
    let mut parked = park(&relay, &key);
    parked.control();
    living.send("hello");
    parked.expect("hello");
}

#[test]
fn a_relay_without_descriptors_for_all_serves_as_many_as_it_can_and_tells_the_others_soon_and_why() {
    const VISITORS: usize = 1000;
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    tcp_relay::net::raise_descriptor_limit();
    let port = free_ports(1);
    let range = format!("{}-{}", port.start(), port.end());
    let serve = command(["serve", "--listen", "127.0.0.1:0", "--public-ports", &range]);
    let Some(process) = limited(&serve, 1024) else { return not_run("this user may not set limits") };
    let relay = Relay::from_process(process, announced);
    let mut expose = expose_command(relay.address(), ["web", &echo().to_string(), "--port", "0"]);
    expose.stdin(std::process::Stdio::null());
    let exposer = Exposer { process: crate::harness::Process::spawn(expose) };
    let public = exposer.public("web");
    let since = Instant::now();
    let crowd: Vec<Socket> = (0..VISITORS).map(|_| Socket::connect(public)).collect();
    for visitor in &crowd {
        // Those that were turned away may know it already.
        let _ = (&visitor.0).write_all(b"hello");
    }
    let mut served = 0;
    for visitor in &crowd {
        visitor.0.set_read_timeout(Some(*DEADLINE)).unwrap();
        let mut answer = [0; 5];
        match (&visitor.0).read_exact(&mut answer) {
            Ok(()) => served += 1,
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "a visitor hangs"),
        }
    }
    let took = since.elapsed();
    println!("{served} of {VISITORS} in {took:?}");
    assert!((400..=520).contains(&served), "{served} were served");
    assert!(took < scaled(8000), "{took:?}, and --open-timeout is 10 s");
    relay.logged(&["WARN", "refused", "the relay has no descriptors left"]);
    // Whoever comes when some have left is served.
    drop(crowd);
    eventually("a new visitor is served", || {
        let visitor = Socket::connect(public);
        visitor.0.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        (&visitor.0).write_all(b"again").is_ok() && (&visitor.0).read_exact(&mut [0; 5]).is_ok()
    });
    let log = relay.log_at_end();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.len() < 12, "{} lines:\n{}", warnings.len(), warnings.join("\n"));
    assert!(!log.contains("did not answer in time"), "{}", warnings.join("\n"));
}

#[test]
fn a_forward_without_descriptors_for_all_serves_as_many_as_it_can() {
    const VISITORS: usize = 200;
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "web", echo());
    let forward = command(["forward", "web", "127.0.0.1:0", "--relay", &relay.address().to_string()]);
    let Some(process) = limited(&forward, 160) else { return not_run("this user may not set limits") };
    let address = process.wait_stdout("the announcement of the address", announced);
    let crowd: Vec<Socket> = (0..VISITORS).map(|_| Socket::connect(address)).collect();
    let mut served = 0;
    for visitor in &crowd {
        let _ = (&visitor.0).write_all(b"hello");
    }
    for visitor in &crowd {
        match (&visitor.0).read_exact(&mut [0; 5]) {
            Ok(()) => served += 1,
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "a visitor hangs"),
        }
    }
    // A machine with many processors has more threads, which have descriptors of their own.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let most = (160 - 17 - 2 * threads.min(70)) / 2;
    println!("{served} of {most} that may be");
    assert!(served <= most && served + 5 >= most, "{served} of {most}");
    process.expect_stderr("no descriptors are left for another stream");
    let warnings = process.stderr().lines().filter(|line| line.contains("WARN")).count();
    assert!(warnings < 12, "{}", process.stderr());
    drop(crowd);
    eventually("a new visitor is served", || {
        let visitor = Socket::connect(address);
        (&visitor.0).write_all(b"again").is_ok() && (&visitor.0).read_exact(&mut [0; 5]).is_ok()
    });
}

#[test]
fn a_visitor_of_forward_that_says_nothing_and_ends_its_side_gets_what_the_service_says_first() {
    let relay = Relay::start();
    let address = crate::harness::service(|mut socket| socket.send("welcome"));
    let _exposer = Exposer::start(&relay, "web", address);
    let forwarder = crate::harness::Forwarder::start(&relay, "web");
    for _ in 0..20 {
        let mut visitor = forwarder.connect();
        visitor.shutdown_write();
        assert_eq!(visitor.receive_whole(), b"welcome");
    }
}
