//! A relay that runs out of descriptors gives up what only waits for visitors, before anybody is kept out.

use std::time::{Duration, Instant};

use crate::harness::{
    Forwarder, Process, Relay, Socket, announced, command, echo, eventually, expose_command, frame,
    is_linux_process, not_run, scaled,
};
use crate::tunnel_pool::limited;

/// A relay with room for so many descriptors.
fn relay_with(descriptors: usize) -> Option<Relay> {
    if !is_linux_process() {
        not_run("needs a process of this Linux");
        return None;
    }
    let serve = command(["serve", "--listen", "127.0.0.1:0", "--log-level", "debug"]);
    Some(Relay::from_process(limited(&serve, descriptors)?, announced))
}

/// Registers for messages, soon.
fn expect_let_in(relay: &Relay, name: &str) {
    let since = Instant::now();
    let mut client = relay.client(name);
    client.sync(name.as_bytes());
    assert!(since.elapsed() < scaled(3000), "{:?}", since.elapsed());
}

#[test]
fn parked_connections_make_way_for_clients() {
    let Some(relay) = relay_with(100) else { return };
    let mut control = relay.connect();
    control.send(frame(b"", br#"{"hello":2,"expose":"web"}"#));
    let answer = control.control();
    let park = format!(r#"{{"hello":2,"park":"web","key":"{}"}}"#, answer["key"].as_str().unwrap());
    let park = || {
        let mut socket = relay.connect();
        socket.send(frame(b"", park.as_bytes()));
        socket
    };
    let _waiting: Vec<Socket> = (0..70).map(|_| park()).collect();
    eventually("they wait", || relay.process.stderr().matches(" parked service=web").count() == 70);
    let _more: Vec<Socket> = (0..60).map(|_| park()).collect();
    relay.logged(&["WARN", "out of descriptors"]);
    for n in 0..20 {
        expect_let_in(&relay, &format!("client {n}"));
    }
    // A visitor still finds a connection, one that is left or one that is made for it.
    let mut visitor = relay.connect();
    visitor.send(frame(b"", br#"{"hello":2,"open":"web"}"#));
    visitor.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut for_visitor = None;
    if visitor.0.peek(&mut [0]).is_err() {
        for_visitor = Some(park());
    }
    visitor.0.set_read_timeout(Some(*crate::harness::DEADLINE)).unwrap();
    assert_eq!(visitor.control()["opened"], "web");
    drop(for_visitor);
}

#[test]
fn exposers_that_want_more_than_there_is_share_it() {
    const SERVICES: usize = 12;
    let Some(relay) = relay_with(64) else { return };
    let address = echo().to_string();
    let names: Vec<String> = (0..SERVICES).map(|n| format!("service-{n}")).collect();
    // Each parks six connections at first.
    let words = names.iter().flat_map(|name| [name.as_str(), &address]);
    let exposer = Process::spawn(expose_command(relay.address(), words));
    let reached = |name: &String| exposer.stdout().contains(&format!("relay forward {name} "));
    eventually("all are exposed", || names.iter().all(reached));
    expect_let_in(&relay, "client");
    for name in &names {
        let forwarder = Forwarder::start(&relay, name);
        let mut visitor = forwarder.connect();
        visitor.send("hello");
        visitor.expect("hello");
    }
    expect_let_in(&relay, "another client");
    // Nobody asks again and again for what there is not.
    let parked = || relay.process.stderr().matches(" parked service=").count();
    let before = parked();
    std::thread::sleep(Duration::from_secs(2));
    let more = parked() - before;
    assert!(more < 10 * SERVICES, "{more} connections were parked in two seconds without a visitor");
}
