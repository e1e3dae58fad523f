//! A cable that is cut while bytes are on their way: every end of a stream whose other machine no longer answers hears of it in time.

use std::{
    io::{ErrorKind, Read, Write},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    DEADLINE, Machines, Process, Relay, Socket, announced, command, expose_command, frame, free_ports,
    patience,
};

/// How long it may take beyond the limit: the system doubles its pauses, and is asked once a second.
const SLACK: Duration = Duration::from_secs(4);

/// The limit of the relay.
const LIMIT: Duration = Duration::from_secs(2);

/// How long both ends leave a relay unanswered that says nothing.
const ENDS_OWN: Duration = Duration::from_secs(14);

/// Requires that a limit was kept: what it is counted from is the last look that found nothing missing, a second before at most.
fn in_time(took: Duration, limit: Duration) {
    let least = limit.saturating_sub(Duration::from_secs(1));
    assert!(took >= least && took < limit + SLACK * patience(), "{took:?} in place of {limit:?}");
}

/// The end, and how long it took.
fn broken_after(socket: &mut Socket, since: Instant) -> Duration {
    match socket.0.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => since.elapsed(),
        other => panic!("{other:?} after {:?} in place of a reset", since.elapsed()),
    }
}

/// Sends until the connection breaks.
fn flood(socket: &mut Socket) {
    socket.0.set_write_timeout(Some(*DEADLINE)).unwrap();
    let bytes = vec![b'x'; 1 << 20];
    loop {
        match socket.0.write(&bytes) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("still open: {error}")
            }
            Err(_) => return,
        }
    }
}

/// A relay on the near machine that finds the dead by what they leave unanswered, and by nothing else.
fn relay(machines: &Machines, limit: &str) -> (Relay, String) {
    let port = free_ports(1);
    let range = format!("{}-{}", port.start(), port.end());
    let options = ["--keepalive=0s", "--idle-timeout=1h", "--public-ports", &range, "--user-timeout", limit];
    (machines.relay(&options), port.start().to_string())
}

fn open(mut socket: Socket) -> Socket {
    socket.send(frame(b"", br#"{"hello":2,"open":"web"}"#));
    assert_eq!(socket.control()["opened"], "web");
    socket.send("ready?");
    socket
}

#[test]
fn a_visitor_that_vanished_is_noticed_by_what_it_does_not_acknowledge() {
    let Some(machines) = Machines::with_answers() else { return };
    let (relay, port) = relay(&machines, "2s");
    let service = machines.service_near();
    let address = service.address().to_string();
    let exposer = machines.spawn_near(&expose_command(relay.address(), ["web", &address, "--port", &port]));
    exposer.expect_stdout(" is reached at ");
    let public = (relay.address().ip(), port.parse().unwrap()).into();
    let mut streams: Vec<(Socket, Socket)> = (0..2)
        .map(|n| {
            let visitor = match n {
                0 => open(machines.connect_far(relay.address())),
                _ => {
                    let mut visitor = machines.connect_far(public);
                    visitor.send("ready?");
                    visitor
                }
            };
            let mut local = service.accept();
            local.expect("ready?");
            (visitor, local)
        })
        .collect();
    machines.cut_the_cable();
    let since = Instant::now();
    let (_bulk_visitor, mut bulk) = streams.pop().unwrap();
    thread::scope(|scope| {
        // Few bytes, and as many as all buffers hold.
        scope.spawn(|| {
            let (_, local) = &mut streams[0];
            local.send("anybody there?");
            in_time(broken_after(local, since), LIMIT);
        });
        scope.spawn(|| {
            flood(&mut bulk);
            in_time(since.elapsed(), LIMIT);
        });
    });
}

#[test]
fn an_exposer_that_vanished_is_noticed_by_its_visitors() {
    let Some(machines) = Machines::with_answers() else { return };
    let (relay, _) = relay(&machines, "2s");
    let service = machines.service_far();
    let address = service.address().to_string();
    let exposer = machines.spawn_far(&expose_command(relay.address(), ["web", &address]));
    exposer.expect_stdout(" is reached ");
    let mut visitor = open(machines.connect_near(relay.address()));
    let mut local = service.accept();
    local.expect("ready?");
    machines.cut_the_cable();
    let since = Instant::now();
    visitor.send("anybody there?");
    in_time(broken_after(&mut visitor, since), LIMIT);
}

#[test]
fn both_ends_notice_a_relay_that_vanished() {
    let Some(machines) = Machines::with_answers() else { return };
    let (relay, _) = relay(&machines, "1h");
    let service = machines.service_far();
    let address = service.address().to_string();
    let at = relay.address().to_string();
    let exposer = machines.spawn_far(&expose_command(relay.address(), ["web", &address]));
    exposer.expect_stdout(" is reached ");
    let forwarder = machines.spawn_far(&command(["forward", "web", "0", "--relay", &at]));
    let mut visitor = machines.connect_far(forwarder.wait_stdout("the address", announced));
    visitor.send("ready?");
    let mut local = service.accept();
    local.expect("ready?");
    let mut standard = machines.spawn_far(&command(["forward", "web", "-", "--relay", &at]));
    standard.write("ready?");
    let mut other = service.accept();
    other.expect("ready?");
    machines.cut_the_cable();
    let since = Instant::now();
    local.send("anybody there?");
    visitor.send("anybody there?");
    standard.write("anybody there?");
    let ends = |took| in_time(took, ENDS_OWN);
    let wait_standard = |mut standard: Process| {
        standard.expect_exit(1);
        ends(since.elapsed());
        assert!(standard.stderr().contains("the stream to web broke"), "{}", standard.stderr());
    };
    thread::scope(|scope| {
        scope.spawn(|| ends(broken_after(&mut local, since)));
        scope.spawn(|| ends(broken_after(&mut visitor, since)));
        scope.spawn(|| wait_standard(standard));
    });
}

/// Each time the cable is mended answers come again, and what was missing before no longer counts.
#[test]
fn a_line_that_fails_again_and_again_is_not_taken_for_one_that_is_cut() {
    const LONGER: Duration = Duration::from_secs(6);
    let Some(machines) = Machines::with_answers() else { return };
    let (relay, _) = relay(&machines, "4s");
    let service = machines.service_near();
    let address = service.address().to_string();
    let exposer = machines.spawn_near(&expose_command(relay.address(), ["web", &address]));
    exposer.expect_stdout(" is reached ");
    let mut visitor = open(machines.connect_far(relay.address()));
    let mut local = service.accept();
    local.expect("ready?");
    let mut was_cut = Duration::ZERO;
    while was_cut < LONGER {
        machines.cut_the_cable();
        let since = Instant::now();
        local.send("still there?");
        // There is no event to wait for: nothing is to arrive. The system tries again 1.4 s after the first time.
        thread::sleep(Duration::from_millis(1200));
        machines.mend_the_cable();
        was_cut += since.elapsed();
        visitor.expect("still there?");
        visitor.send("yes");
        local.expect("yes");
    }
}

#[test]
fn expose_and_forward_say_when_this_machine_has_no_local_ports_left() {
    let Some(machines) = Machines::new() else { return };
    let (relay, _) = relay(&machines, "1h");
    let service = machines.service_far();
    // For the control session and three more.
    if !machines.keep_local_ports_far(4) {
        return;
    }
    let address = service.address().to_string();
    let exposer = machines.spawn_far(&expose_command(relay.address(), ["web", &address]));
    exposer.expect_stdout(" is reached ");
    let says = |process: &Process| {
        process.expect_stderr("this machine has no local port left for a connection to ");
    };
    says(&exposer);
    let forward = ["forward", "web", "-", "--relay", &relay.address().to_string(), "--retry-for", "1s"];
    let mut forwarder = machines.spawn_far(&command(forward));
    says(&forwarder);
    forwarder.expect_exit(1);
    assert!(forwarder.stderr().contains("widen the system's range of local ports"), "{}", forwarder.stderr());
    let lines = exposer.stderr().lines().filter(|line| line.contains("WARN")).count();
    // A line each second, and one for the others.
    assert!(lines < 30, "{}", exposer.stderr());
}
