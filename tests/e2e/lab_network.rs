//! The emulated network, measured: never better than what was asked for, and not much worse.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use crate::harness::{DEADLINE, LabServer, PythonServer, Socket, is_wine, patience, relay};

/// What the machine may add to any measurement.
fn slack() -> Duration {
    Duration::from_millis(200) * patience()
}

/// None may be below `least`, and one has to be near `most`.
fn measured(least: Duration, most: Duration, measure: impl FnMut() -> Duration) {
    crate::harness::measured(least, most + slack(), measure);
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn round_trip(client: &mut Socket, message: &[u8]) -> Duration {
    let start = Instant::now();
    client.send(message);
    client.expect(message);
    start.elapsed()
}

/// An echo behind a network: that of the server itself, and that of a proxy before a plain Python echo.
fn echoes(options: &[&str], mut test: impl FnMut(&LabServer, &mut Socket)) {
    let server = LabServer::start("echo", options);
    test(&server, &mut server.connect());
    let python = PythonServer::start("echo");
    let proxy = LabServer::proxy(python.address(), options);
    test(&proxy, &mut proxy.connect());
}

#[test]
fn without_options_nothing_is_slower() {
    echoes(&[], |_, client| {
        measured(Duration::ZERO, Duration::ZERO, || round_trip(client, b"hello"));
    });
}

#[test]
fn a_delay_is_added_in_each_direction() {
    echoes(&["--delay", "100ms"], |_, client| {
        measured(millis(200), millis(200), || round_trip(client, b"hello"));
    });
}

#[test]
fn jitter_spreads_round_trips_around_the_delay() {
    echoes(&["--delay", "30ms", "--jitter", "25ms"], |_, client| {
        // Without jitter no round trip takes less than 60 ms; with it, each takes less than 55 with a chance of two in five, as long as
        // the machine adds nothing.
        let (mut times, since) = (Vec::new(), Instant::now());
        while times.len() < 30 || times.iter().all(|took| *took >= millis(55)) {
            assert!(since.elapsed() < *DEADLINE, "{times:?}");
            times.push(round_trip(client, b"hello"));
        }
        assert!(times.iter().all(|took| *took >= millis(10)), "{times:?}");
    });
}

#[test]
fn jitter_keeps_the_order() {
    echoes(&["--delay", "5ms", "--jitter", "5ms"], |_, client| {
        let data: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
        for piece in data.chunks(40) {
            client.send(piece);
        }
        client.expect(&data);
    });
}

#[test]
fn a_rate_is_kept_in_each_direction() {
    // 250,000 bytes a second. The echo begins while the rest is on its way, so both directions take the same second.
    echoes(&["--rate", "2mbit"], |_, client| {
        let data = crate::harness::pattern(250_000);
        measured(millis(900), millis(1250), || {
            std::thread::scope(|scope| {
                let start = Instant::now();
                let mut sender = Socket(client.0.try_clone().unwrap());
                let sent = data.clone();
                scope.spawn(move || sender.send(sent));
                client.expect(&data);
                start.elapsed()
            })
        });
    });
}

#[test]
fn a_connection_is_dropped_when_its_time_has_come() {
    echoes(&["--drop-after", "400ms"], |server, _| {
        measured(millis(400), millis(400), || {
            let start = Instant::now();
            let mut client = server.connect();
            // A reset: silence alone would be an end.
            assert_eq!(client.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            start.elapsed()
        });
        server.process.expect_stderr("--drop-after");
        if is_wine() {
            // It does not tell our client.
            return;
        }
        let silent = PythonServer::start("silent");
        let proxy = LabServer::proxy(silent.address(), &["--drop-after", "100ms"]);
        relay(["lab", "talk", "127.0.0.1", &proxy.port(), "hi"]).assert().code(9);
    });
}

#[test]
fn every_server_has_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().to_str().unwrap().to_owned();
    for (mode, sent, answer) in [
        ("received", &b"hi"[..], &b"Server received: hi"[..]),
        ("timestamp", b"hi", b"Server received at "),
        ("json", b"\0\0\0\x02{}", b"\0\0\0\x1d{\"status\":\"ok\",\"received\":{}}"),
        ("files", b"a\n\0\0\0\0\0\0\0\0", b"received a: 0 bytes"),
    ] {
        let mut options = vec!["--delay", "150ms"];
        if mode == "files" {
            options.extend(["--into", &into, "--overwrite"]);
        }
        let server = LabServer::start(mode, &options);
        measured(millis(300), millis(350), || {
            let mut client = server.connect();
            let start = Instant::now();
            client.send(sent);
            client.expect(answer);
            let took = start.elapsed();
            client.shutdown_write();
            client.receive_all();
            took
        });
    }
}

#[test]
fn the_last_answer_arrives_however_late() {
    // The server says its last word and closes long before the word is there.
    let server = LabServer::start("timestamp", &["--delay", "700ms", "--rate", "80kbit"]);
    let mut client = server.connect();
    client.send([b'x'; 5000]);
    let answer = client.receive_all();
    assert_eq!(answer.iter().filter(|byte| **byte == b'x').count(), 5000);
}

#[test]
fn a_client_that_takes_nothing_is_disconnected_behind_a_network_too() {
    for options in [&[][..], &["--delay", "1ms"], &["--rate", "800mbit"]] {
        let server = LabServer::start("echo", &[&["--idle-timeout", "300ms"], options].concat());
        let mut client = server.connect();
        client.0.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        // A server that takes nothing for a moment may only be slow.
        let (told, since) = ("the client took nothing for 300ms", Instant::now());
        while !server.process.stderr().contains(told) && since.elapsed() < *DEADLINE {
            match client.0.write(&[b'x'; 1 << 16]) {
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                _ => {}
            }
        }
        server.process.expect_stderr(told);
    }
}

#[test]
fn a_proxy_passes_ends_and_resets_on() {
    let python = PythonServer::start("count");
    let proxy = LabServer::proxy(python.address(), &["--delay", "10ms"]);
    let mut client = proxy.connect();
    client.send("four");
    client.0.shutdown(Shutdown::Write).unwrap();
    // The end of our direction leaves the other one open.
    client.expect("four");
    client.expect_closed();
    python.process.expect_stdout("bytes 4");

    if is_wine() {
        // It tells neither the proxy nor our client that a connection was reset.
        return;
    }
    let resetting = PythonServer::start("resetting");
    let proxy = LabServer::proxy(resetting.address(), &[]);
    relay(["lab", "talk", "127.0.0.1", &proxy.port(), "h"]).assert().code(9);
}

#[test]
fn a_proxy_listens_where_it_is_told_and_resolves_its_target() {
    let python = PythonServer::start("echo");
    let target = format!("localhost:{}", python.port());
    let mut proxy = LabServer::with(["proxy", "127.0.0.1:0", &target, "--once"]);
    assert!(proxy.process.stdout().contains(&format!("leads to {target}")));
    relay(["lab", "talk", "127.0.0.1", &proxy.port(), "hi"]).assert().success().stdout("hi");
    proxy.process.expect_exit(0);
}

#[test]
fn a_proxy_has_a_limit_on_connections() {
    let python = PythonServer::start("echo");
    let proxy = LabServer::proxy(python.address(), &["--max-connections", "1"]);
    let mut first = proxy.connect();
    round_trip(&mut first, b"x");
    proxy.connect().expect_closed();
    proxy.process.expect_stderr("turned away");
}

#[cfg(unix)]
#[test]
fn a_proxy_stops_at_once_when_nothing_is_on_the_way() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let python = PythonServer::start("echo");
    let mut proxy = LabServer::proxy(python.address(), &["--drain-timeout", "10m"]);
    let mut client = proxy.connect();
    round_trip(&mut client, b"x");
    proxy.process.signal("TERM");
    // In ten minutes the test would have given up.
    proxy.process.expect_exit(0);
    client.expect_closed();
    assert!(!proxy.process.stderr().contains("cut off"), "{}", proxy.process.stderr());
}
