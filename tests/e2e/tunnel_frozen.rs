//! An exposer that is stopped, as by a debugger, a swap storm or a paused container: its connections are there, and nobody answers on them.

use std::{
    io::{ErrorKind, Read},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Exposer, Forwarder, Socket, echo, is_in_container, is_wine, not_run, option, public_relay, scaled,
    service, without_signals,
};

/// Why exposers cannot be stopped here, if they cannot.
fn cannot_stop() -> bool {
    let why = without_signals().or(is_wine().then_some("wine has no signals"));
    let why = why.or(is_in_container().then_some("what is stopped would be the engine's program"));
    why.inspect(|why| not_run(why)).is_some()
}

fn expect_reset(socket: &mut Socket) {
    let error = socket.0.read(&mut [0]).expect_err("a reset, not an end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn visitors_of_an_exposer_that_is_stopped_are_told_before_it_loses_its_name_and_streams_go_on_later() {
    if cannot_stop() {
        return;
    }
    // It pings every 3 s, and may leave out two of these.
    let (idle, open) = (scaled(9000), option(scaled(1000)));
    let (relay, _) = public_relay(1, &["--idle-timeout", &option(idle), "--open-timeout", &open]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "web");
    let mut running = forwarder.connect();
    running.send("before");
    running.expect("before");
    exposer.process.signal("STOP");
    let since = Instant::now();
    let mut visitors = [Socket::connect(exposer.public("web")), forwarder.connect()];
    visitors[0].send("hello");
    running.send("meanwhile");
    visitors.iter_mut().for_each(expect_reset);
    println!("after {:?}", since.elapsed());
    relay.logged(&["WARN", "the exposer does not answer", "service=web"]);
    assert!(!relay.process.stderr().contains("no longer exposed"), "{}", relay.process.stderr());
    exposer.process.signal("CONT");
    running.expect("meanwhile");
}

#[test]
fn visitors_that_were_not_answered_end_with_the_name_of_an_exposer_that_is_stopped() {
    if cannot_stop() {
        return;
    }
    let (relay, _) = public_relay(1, &["--idle-timeout", &option(scaled(3000)), "--open-timeout", "10m"]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let public = exposer.public("web");
    let mut running = Socket::connect(public);
    running.send("before");
    running.expect("before");
    exposer.process.signal("STOP");
    let mut visitor = Socket::connect(public);
    visitor.send("hello");
    running.send("meanwhile");
    relay.logged(&["no longer exposed", "silent for too long"]);
    expect_reset(&mut visitor);
    exposer.process.signal("CONT");
    running.expect("meanwhile");
}

#[test]
fn a_service_may_take_its_time_to_say_the_first_word() {
    let (idle, open) = (scaled(2400), option(scaled(800)));
    let (relay, _) = public_relay(1, &["--idle-timeout", &option(idle), "--open-timeout", &open]);
    let address = service(|mut socket| {
        socket.expect("question");
        // There is no event to wait for: it takes longer than any limit of the relay's.
        thread::sleep(scaled(5000));
        socket.send("answer");
        // Until the visitor has it.
        socket.receive_all();
    });
    let exposer = Exposer::with(&relay, ["web", &address.to_string(), "--port", "0"]);
    let mut visitor = Socket::connect(exposer.public("web"));
    visitor.send("question");
    visitor.expect("answer");
}

#[test]
fn what_is_not_answered_yet_outlives_a_control_session_that_is_only_lost() {
    let (relay, ports) = public_relay(1, &["--open-timeout", "1500ms"]);
    let mut control = relay.connect();
    let hello = format!(r#"{{"hello":2,"expose":"web","port":{}}}"#, ports.start());
    control.send(crate::harness::frame(b"", hello.as_bytes()));
    let key = control.control()["key"].as_str().unwrap().to_owned();
    let mut parked = relay.connect();
    let hello = format!(r#"{{"hello":2,"park":"web","key":"{key}"}}"#);
    parked.send(crate::harness::frame(b"", hello.as_bytes()));
    let mut visitor = Socket::connect(([127, 0, 0, 1], *ports.start()).into());
    parked.control();
    drop(control);
    relay.logged(&["no longer exposed"]);
    // There is no event to wait for: nothing is to happen, and streams are looked at every second.
    thread::sleep(Duration::from_millis(3500));
    parked.send("late");
    visitor.expect("late");
}
