//! What the options of `relay serve` ask of the system: seen from outside, where the program runs on this Linux itself.

use std::time::Duration;

use crate::harness::{
    Exposer, Relay, Socket, echo, eventually, is_linux_process, is_native, linux, public_relay, scaled,
};

#[test]
fn keepalive_is_set_on_the_socket_and_the_systems_own_user_timeout_is_not() {
    if !is_linux_process() {
        return crate::harness::not_run("needs a process of this Linux");
    }
    let options =
        ["--keepalive=71s", "--keepalive-interval=13s", "--keepalive-probes=7", "--user-timeout=4321ms"];
    let seen = |options: &[&str]| {
        let relay = Relay::with(options);
        let client = relay.client("client");
        linux::socket_of(relay.process.id(), client.0.local_addr().unwrap())
    };
    let socket = seen(&options);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(71));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(13));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 7);
    // It would count a client that does not read as one that is gone.
    assert_eq!(socket.tcp_user_timeout().unwrap().unwrap_or_default(), Duration::ZERO);
    assert!(socket.tcp_nodelay().unwrap());

    let socket = seen(&["--keepalive=0s", "--user-timeout=0s"]);
    assert!(!socket.keepalive().unwrap(), "0s is never");
}

#[test]
fn by_default_keepalive_and_user_timeout_give_a_dead_client_the_same_time() {
    if !is_linux_process() {
        return crate::harness::not_run("needs a process of this Linux");
    }
    let relay = Relay::start();
    let client = relay.client("client");
    let socket = linux::socket_of(relay.process.id(), client.0.local_addr().unwrap());
    let probing = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
    let silence = socket.tcp_keepalive_time().unwrap() + probing;
    // The default of --user-timeout.
    assert_eq!(silence, Duration::from_secs(14));
    assert!(silence < Duration::from_secs(30), "sooner than the protocol's own silence");
}

#[test]
fn times_the_system_cannot_keep_exactly_do_not_switch_keepalive_off() {
    if !is_linux_process() {
        return crate::harness::not_run("needs a process of this Linux");
    }
    for (time, seconds) in [("300ms", 1), ("1500ms", 2), ("20h", 32_767)] {
        let relay = Relay::with(&["--keepalive", time, "--keepalive-interval", time]);
        let client = relay.client("client");
        let socket = linux::socket_of(relay.process.id(), client.0.local_addr().unwrap());
        assert!(socket.keepalive().unwrap(), "{time}");
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), seconds, "{time}");
        assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), seconds, "{time}");
    }
}

#[test]
fn backlog_is_given_to_the_system() {
    if !is_linux_process() || std::process::Command::new("ss").arg("-V").output().is_err() {
        return crate::harness::not_run("needs a process of this Linux and `ss`");
    }
    let relay = Relay::with(&["--backlog", "7"]);
    assert_eq!(linux::backlog(relay.address()), 7);
}

#[test]
fn read_buffer_is_what_a_worker_reads_into() {
    if !is_native() {
        return crate::harness::not_run("needs the native program");
    }
    let relay = Relay::with(&["--read-buffer", "300MiB", "--workers", "1"]);
    let before = linux::memory(relay.process.id(), "VmData");
    // Twice, since the first message may come together with the name.
    relay.client("client").sync(b"client");
    let growth = linux::memory(relay.process.id(), "VmData") - before;
    assert!(growth >= 300 << 20, "grew by {growth} bytes only");
    // Room that no batch has reached costs nothing.
    assert!(linux::memory(relay.process.id(), "VmRSS") < 50 << 20);
}

#[test]
fn spin_keeps_a_worker_awake_after_a_short_message() {
    if !is_linux_process() || std::thread::available_parallelism().unwrap().get() == 1 {
        return crate::harness::not_run("needs a process of this Linux and two processors");
    }
    let relay = Relay::with(&["--spin", "100s"]);
    // Short messages to itself; without the option they are worth microseconds.
    let mut client = relay.client("client");
    client.sync(b"client");
    looks(&relay);
    let quiet = Relay::with(&["--spin", "0s"]);
    let mut client = quiet.client("client");
    let before = linux::processor_time(quiet.process.id());
    (0..10).for_each(|_| client.sync(b"client"));
    assert!(linux::processor_time(quiet.process.id()) < before + scaled(300));
}

/// Waits until somebody in the relay looks for events without sleeping.
fn looks(relay: &Relay) {
    let id = relay.process.id();
    let before = (linux::processor_time(id), linux::yields(id));
    eventually("a worker looks", || {
        // Where other programs want the processor it gives way each time, and time is not what it uses.
        linux::processor_time(id) >= before.0 + Duration::from_millis(300)
            || linux::yields(id) >= before.1 + 300
    });
}

#[test]
fn spin_keeps_a_thread_of_the_streams_awake_after_a_short_exchange() {
    if !is_linux_process() || std::thread::available_parallelism().unwrap().get() == 1 {
        return crate::harness::not_run("needs a process of this Linux and two processors");
    }
    let (relay, _) = public_relay(1, &["--spin", "100s"]);
    let exposer = Exposer::with(&relay, ["web", &echo().to_string(), "--port", "0"]);
    let mut visitor = Socket::connect(exposer.public("web"));
    for _ in 0..3 {
        visitor.send("hello");
        visitor.expect("hello");
    }
    looks(&relay);
}

#[test]
fn workers_are_threads() {
    if !is_native() {
        return crate::harness::not_run("needs the native program");
    }
    for workers in [1, 5] {
        let relay = Relay::with(&["--workers", &workers.to_string()]);
        let _client = relay.client("client");
        assert_eq!(
            linux::threads(relay.process.id()),
            workers + 2,
            "and the first thread, and that of the log"
        );
    }
}
