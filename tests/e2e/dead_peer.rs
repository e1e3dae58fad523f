//! A client whose machine vanished without a word: its name is free again within the bounds that the options give.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use crate::harness::{Machines, Relay, patience};

/// How long it may take beyond what the options say: the system rounds its timers.
const SLACK: Duration = Duration::from_secs(6);

/// Waits until the relay has let go of `dead`, and requires that this took from `least` on and not much longer.
fn let_go(relay: &Relay, since: Instant, least: Duration) {
    relay.logged(&["left", "name=dead"]);
    let took = since.elapsed();
    assert!(took >= least && took < least + SLACK * patience(), "{took:?} in place of {least:?}");
}

#[test]
fn keepalive_frees_the_name_of_a_silent_client_whose_machine_is_gone() {
    let Some(machines) = Machines::new() else { return };
    // Only keepalive can find it: nothing is sent to it, and it may be silent for an hour.
    let relay = machines.relay(&[
        "--idle-timeout=1h",
        "--user-timeout=0s",
        "--keepalive=1s",
        "--keepalive-interval=1s",
        "--keepalive-probes=2",
    ]);
    let mut dead = machines.connect_far(relay.address());
    dead.register(b"dead");
    let since = Instant::now();
    machines.cut_the_cable();
    // One second of silence, and two questions a second apart.
    let_go(&relay, since, Duration::from_millis(1900));
    machines.connect_near(relay.address()).register(b"dead");
}

#[test]
fn keepalive_and_user_timeout_together_do_too() {
    let Some(machines) = Machines::new() else { return };
    let relay = machines.relay(&[
        "--idle-timeout=1h",
        "--user-timeout=3s",
        "--keepalive=1s",
        "--keepalive-interval=1s",
        "--keepalive-probes=2",
    ]);
    let mut dead = machines.connect_far(relay.address());
    dead.register(b"dead");
    let since = Instant::now();
    machines.cut_the_cable();
    let_go(&relay, since, Duration::from_millis(2900));
}

#[test]
fn user_timeout_frees_the_name_of_a_client_that_acknowledges_nothing() {
    let Some(machines) = Machines::with_answers() else { return };
    let relay = machines.relay(&["--idle-timeout=1h", "--keepalive=0s", "--user-timeout=1500ms"]);
    let mut dead = machines.connect_far(relay.address());
    dead.register(b"dead");
    let mut sender = machines.connect_near(relay.address());
    sender.register(b"sender");
    machines.cut_the_cable();
    let since = Instant::now();
    sender.send_to("dead", "anybody there?");
    let_go(&relay, since, Duration::from_millis(1500));
    machines.connect_near(relay.address()).register(b"dead");
    sender.sync(b"sender");
}

#[test]
fn keepalive_does_not_cut_a_client_that_is_alive_and_says_nothing() {
    let relay = Relay::with(&[
        "--idle-timeout=1h",
        "--user-timeout=1s",
        "--keepalive=1s",
        "--keepalive-interval=1s",
        "--keepalive-probes=1",
    ]);
    let mut client = relay.client("client");
    // Several rounds of questions, all answered by the client's system. There is no event to wait for: nothing is to happen.
    client.0.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let silence = loop {
        match client.0.read(&mut [0]).expect_err("nothing comes, not even the end") {
            // A signal for this process, such as the end of another test's child.
            error if error.kind() == ErrorKind::Interrupted => {}
            error => break error,
        }
    };
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    client.0.set_read_timeout(Some(*crate::harness::DEADLINE)).unwrap();
    client.sync(b"client");
}

/// A client that reads nothing for longer than its machine may be silent is no dead machine: its system answers.
#[test]
fn user_timeout_does_not_cut_a_client_that_is_alive_and_does_not_read() {
    // More than the systems' buffers hold, so that the client's window closes, and less than its queue.
    const BYTES: usize = 48 << 20;
    let relay =
        Relay::with(&["--idle-timeout=1h", "--write-timeout=1h", "--user-timeout=1s", "--queue=64MiB"]);
    let mut resting = relay.client("resting");
    let mut sender = relay.client("sender");
    sender.send_to("resting", "x".repeat(BYTES));
    sender.sync(b"sender");
    // There is no event to wait for: nothing is to happen for several times the limit.
    let mut bystander = relay.client("bystander");
    bystander.0.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    bystander.0.read(&mut [0]).expect_err("nobody sends to it");
    let mut received = vec![0; BYTES];
    resting.0.read_exact(&mut received).expect("everything arrives");
    assert!(received.iter().all(|byte| *byte == b'x'));
}
