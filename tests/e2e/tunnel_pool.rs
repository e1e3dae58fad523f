//! What is kept ready for visitors, and that nothing is kept that nobody needs.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};

use crate::harness::{
    DEADLINE, Exposer, Forwarder, Process, Relay, Socket, announced, command, echo, eventually,
    expose_command, frame, free_ports, is_linux_process, is_native, linux, not_run, public_relay,
};

/// Connections with the relay that are parked or being parked, by what the relay has said of them.
fn parked(relay: &Relay) -> usize {
    relay.process.stderr().lines().filter(|line| line.contains(" parked service=")).count()
}

fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("the process runs").count()
}

#[test]
fn connections_wait_for_visitors_and_are_replaced_when_taken() {
    let (relay, _) = public_relay(2, &["--log-level", "debug"]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    eventually("six are parked", || parked(&relay) == 6);
    for n in 1..=20 {
        let mut visitor = Socket::connect(public);
        visitor.send("hello");
        visitor.expect("hello");
        // One more for each visitor, and no other: those that wait are not made anew.
        eventually("it is replaced", || parked(&relay) >= 6 + n);
        assert_eq!(parked(&relay), 6 + n);
    }
}

#[test]
fn the_pool_grows_with_a_crowd_and_shrinks_when_it_has_gone() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let (relay, _) = public_relay(2, &[]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    eventually("six are parked", || descriptors(&relay.process) >= 6);
    let quiet = descriptors(&exposer.process);
    let crowd: Vec<Socket> = (0..300).map(|_| Socket::connect(public)).collect();
    for mut visitor in crowd {
        visitor.send("hello");
        visitor.expect("hello");
        visitor.shutdown_write();
        visitor.expect_closed();
    }
    // Up to 64 wait for the next crowd, one descriptor each. What looks after streams has a few, and some of the 300 may still be ending.
    eventually("there are more of them now", || descriptors(&exposer.process) > quiet + 10);
    let grown = descriptors(&exposer.process);
    assert!(grown < quiet + 100, "{grown} descriptors after {quiet}");
    // Half of those that nobody needed go every ten seconds; seen twice, they are on their way down.
    // The first look may find a crowd that was there lately, so it can take two of them: longer than any single event.
    let since = Instant::now();
    while descriptors(&exposer.process) > quiet + (grown - quiet) / 2 + 4 {
        assert!(since.elapsed() < *DEADLINE * 2, "there are never fewer");
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(
        exposer.process.stderr().lines().all(|line| !line.contains("WARN")),
        "{}",
        exposer.process.stderr()
    );
}

/// Runs the program with another limit on descriptors; `None` where this user may not have so many.
pub fn limited(command: &std::process::Command, descriptors: usize) -> Option<Process> {
    let allowed = std::process::Command::new("sh").args(["-c", &format!("ulimit -n {descriptors}")]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args()).env_remove("RELAY_LOG");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Some(Process::spawn(limited))
}

/// A relay and an exposer of `address` that have room for so many descriptors, and the service's public address.
fn with_room(address: SocketAddr, descriptors: usize) -> Option<(Relay, Exposer, SocketAddr)> {
    let port = free_ports(1);
    let range = format!("{}-{}", port.start(), port.end());
    let serve =
        command(["serve", "--listen", "127.0.0.1:0", "--public-ports", &range, "--open-timeout", "60s"]);
    let relay = Relay::from_process(limited(&serve, descriptors)?, announced);
    let expose = expose_command(relay.address(), ["web", &address.to_string(), "--port", "0"]);
    let exposer = Exposer { process: limited(&expose, descriptors)? };
    let public = exposer.public("web");
    Some((relay, exposer, public))
}

#[test]
fn ten_thousand_visitors_at_once_are_all_served() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    tcp_relay::net::raise_descriptor_limit();
    let own = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20) as usize;
    // This process has both ends of each stream, and other tests run in it.
    let visitors = (own.saturating_sub(4000) / 2).min(if is_native() { 10_000 } else { 1000 });
    let address = echo();
    let Some((relay, _exposer, public)) = with_room(address, 2 * visitors + 2000) else {
        return not_run("this user may not have so many descriptors");
    };
    println!("{visitors} visitors");
    let mut crowd: Vec<Socket> = (0..visitors).map(|_| Socket::connect(public)).collect();
    for (n, visitor) in crowd.iter_mut().enumerate() {
        visitor.send(format!("visitor {n:05}"));
    }
    for (n, visitor) in crowd.iter_mut().enumerate() {
        visitor.expect(format!("visitor {n:05}"));
    }
    if is_native() {
        let memory = linux::memory(relay.process.id(), "VmRSS");
        println!("{} bytes of the relay's memory for each visitor", memory / visitors as u64);
        assert!(memory < 64 << 20, "{memory} bytes");
    }
    drop(crowd);
    eventually("all is let go", || descriptors(&relay.process) < 200);
}

#[test]
fn a_relay_out_of_descriptors_keeps_its_streams_and_takes_visitors_again_later() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let port = free_ports(1);
    let range = format!("{}-{}", port.start(), port.end());
    let serve = command(["serve", "--listen", "127.0.0.1:0", "--public-ports", &range]);
    // An exposer parks 64 connections at most, and those alone are not to take all there is.
    let relay = Relay::from_process(limited(&serve, 128).unwrap(), announced);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    let mut stream = Socket::connect(public);
    stream.send("before");
    stream.expect("before");
    let flood: Vec<Socket> = (0..250).map(|_| Socket::connect(public)).collect();
    relay.logged(&["WARN", "no descriptors left"]);
    stream.send("during");
    stream.expect("during");
    drop(flood);
    eventually("a new visitor is served", || {
        let mut visitor = Socket::connect(public);
        let mut answer = [0; 5];
        visitor.0.write_all(b"after").is_ok() && visitor.0.read_exact(&mut answer).is_ok()
    });
    stream.send("still");
    stream.expect("still");
    exposer.announced("web", 1);
}

/// How often the name is taken anew; the whole number by hand.
fn reconnects() -> usize {
    std::env::var("RELAY_TEST_RECONNECTS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(if is_native() { 1000 } else { 200 })
}

#[test]
fn reconnects_of_one_name_leave_nothing_behind() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let (relay, ports) =
        public_relay(1, &["--log-level", "warn", "--register-timeout", "1s", "--workers", "2"]);
    let id = relay.process.id();
    let hello =
        format!(r#"{{"hello":2,"expose":"web","port":{},"owner":"{}"}}"#, ports.start(), "5a".repeat(32));
    let connected = |n: usize| {
        let mut control = relay.connect();
        control.send(frame(b"", hello.as_bytes()));
        let answer = control.control();
        assert_eq!(answer["exposed"], "web", "round {n}: {answer}");
        let key = answer["key"].as_str().unwrap();
        let park = format!(r#"{{"hello":2,"park":"web","key":"{key}"}}"#);
        let parked: Vec<Socket> = (0..3)
            .map(|_| {
                let mut socket = relay.connect();
                socket.send(frame(b"", park.as_bytes()));
                socket
            })
            .collect();
        let mut visitor = Socket::connect(([127, 0, 0, 1], *ports.start()).into());
        visitor.send("hello");
        (control, parked, visitor)
    };
    let round = |n: usize| {
        let (control, parked, visitor) = connected(n);
        // Half of them vanish: here with a reset, which is what a link that was cut ends in.
        if n.is_multiple_of(2) {
            control.reset();
            parked.into_iter().for_each(Socket::reset);
            visitor.reset();
        }
    };
    // Whoever is let go is let go when the relay gets to it, so what is left is waited for and not only looked at.
    // Each worker of the streams, which start with the first of them, has a set of events and a way to be woken.
    let idle = descriptors(&relay.process) + 2 * 2;
    let settled = || {
        eventually("all connections are let go", || descriptors(&relay.process) <= idle);
        (linux::memory(id, "VmRSS"), linux::threads(id))
    };
    // The visitors of the rounds may all be gone before they have a stream.
    let (control, parked, visitor) = connected(0);
    parked.iter().for_each(|socket| socket.0.set_nonblocking(true).unwrap());
    eventually("there is a stream", || parked.iter().any(|socket| socket.0.peek(&mut [0]).is_ok()));
    drop((control, parked, visitor));
    (0..200).for_each(round);
    let (memory_before, threads_before) = settled();
    (0..reconnects()).for_each(round);
    let (memory_after, threads_after) = settled();
    println!("memory {memory_before} -> {memory_after}");
    assert_eq!(threads_before, threads_after);
    // An emulator keeps what it has translated.
    if is_native() {
        assert!(memory_after < memory_before + (1 << 20), "{memory_before} -> {memory_after} bytes");
    }
}

#[test]
fn visitors_that_break_off_leave_nothing_behind() {
    if !is_linux_process() {
        return not_run("needs a process of this Linux");
    }
    let (relay, _) = public_relay(1, &[]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "web");
    let public = exposer.public("web");
    for n in 0..600 {
        let mut visitor = if n % 2 == 0 { Socket::connect(public) } else { forwarder.connect() };
        match n % 3 {
            0 => visitor.reset(),
            1 => {
                visitor.send("hello");
                visitor.reset();
            }
            _ => drop(visitor),
        }
    }
    for (what, process, most) in [
        ("relay", &relay.process, 100),
        ("exposer", &exposer.process, 100),
        ("forwarder", &forwarder.process, 30),
    ] {
        eventually(&format!("the {what} lets all go"), || descriptors(process) < most);
    }
    let mut visitor = forwarder.connect();
    visitor.send("hello");
    visitor.expect("hello");
}
