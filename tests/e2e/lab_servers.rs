//! The practice servers, against plain Python clients and with every option.

use std::time::{Duration, Instant};

use crate::harness::{LabServer, Process, command, eventually, is_windows, python, relay, run_python};

const CLIENT: &str = "tests/e2e/python/lab_client.py";

fn python_client(test: &str, server: &LabServer) {
    run_python(CLIENT, [test, "127.0.0.1", &server.port()]);
}

#[test]
fn received_answers_each_chunk_of_many_clients() {
    let server = LabServer::start("received", &[]);
    for test in ["received", "received_binary", "received_many_at_once", "received_nothing_is_lost"] {
        python_client(test, &server);
    }
    for line in ["started", "connected", "message", "text=Hello, server!", "closed"] {
        server.process.expect_stderr(line);
    }
}

#[test]
fn echo_returns_every_byte() {
    python_client("echo", &LabServer::start("echo", &[]));
}

#[test]
fn timestamp_answers_in_local_time_and_closes() {
    python_client("timestamp", &LabServer::start("timestamp", &[]));
}

#[test]
fn timestamp_knows_the_time_zone_that_is_set() {
    if is_windows() {
        return crate::harness::not_run("the zone of Windows is a setting of the system, not a variable");
    }
    // Nine hours east of Greenwich, written so that no database of zones is needed.
    let mut server = command(["lab", "serve", "timestamp", "127.0.0.1", "0"]);
    server.env("TZ", "XXX-9");
    let server = LabServer::spawn(server);
    let mut client = python(CLIENT, ["timestamp", "127.0.0.1", &server.port()]);
    client.env("TZ", "XXX-9");
    Process::spawn(client).expect_exit(0);
    let mut stranger = python(CLIENT, ["timestamp", "127.0.0.1", &server.port()]);
    stranger.env("TZ", "XXX+3");
    Process::spawn(stranger).expect_exit(1);
}

#[test]
fn json_answers_every_frame_with_an_object() {
    let server = LabServer::start("json", &[]);
    python_client("json_frames", &server);
    python_client("json_bad_input", &server);
}

#[test]
fn files_are_stored_and_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let server = LabServer::start("files", &["--into", dir.path().to_str().unwrap()]);
    python_client("files", &server);
    assert_eq!(std::fs::read(dir.path().join("notes.txt")).unwrap(), b"hello");
    assert_eq!(std::fs::metadata(dir.path().join("big.bin")).unwrap().len(), 256 * 5000);
}

#[test]
fn a_client_that_resets_or_says_nothing_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().to_str().unwrap().to_owned();
    for mode in ["echo", "received", "timestamp", "json", "files"] {
        let options = ["--into", &into];
        let server = LabServer::start(mode, if mode == "files" { &options } else { &[] });
        drop(server.connect());
        server.connect().shutdown_write();
        // Wine does not tell a program that a connection was reset.
        let resets = cfg!(unix) && !crate::harness::is_wine();
        #[cfg(unix)]
        if resets {
            let mut client = server.connect();
            client.send(b"\0\0\0\x05ab");
            client.reset();
        }
        // Each of them has left its line, and the server still serves.
        let ends = if resets { 3 } else { 2 };
        server.process.wait_stderr("the ends of all connections", |log| {
            (log.matches("closed").count() >= ends).then_some(())
        });
        server.connect().shutdown_write();
        server
            .process
            .wait_stderr("one more end", |log| (log.matches("closed").count() > ends).then_some(()));
    }
}

#[test]
fn what_peers_send_cannot_steer_the_terminal_or_forge_lines_of_the_log() {
    let server = LabServer::start("received", &[]);
    let mut client = server.connect();
    client.send(b"\x1b[2J\n2026-01-01T00:00:00Z  INFO forged \xff");
    server.process.expect_stderr(r"\u{1b}[2J\n2026-01-01T00:00:00Z  INFO forged \xff");
    assert!(!server.process.stderr().contains('\u{1b}'));
}

#[test]
fn the_place_to_listen_may_be_left_out_in_part() {
    // A number alone is a port of 127.0.0.1.
    let server = LabServer::with(["serve", "echo", "0"]);
    assert!(server.address().ip().is_loopback() && server.address().is_ipv4());
    let port = server.port();
    drop(server);
    // The same port again: a second server gets it although connections of the first one may linger.
    let again = LabServer::with(["serve", "echo", "localhost", &port]);
    assert_eq!(again.port(), port);
    let all = LabServer::with(["serve", "echo", "0.0.0.0", "0"]);
    assert!(all.address().ip().is_unspecified());
    // People cannot use the unspecified address, so the hint does not show it.
    assert!(all.process.stdout().contains("try: relay lab talk 127.0.0.1 "));
}

#[test]
fn the_default_ports_are_those_of_the_courses() {
    for (mode, port) in
        [("echo", 8887), ("received", 8888), ("timestamp", 8080), ("json", 8889), ("files", 8890)]
    {
        // The ports may be in use here; both outcomes name the address.
        let mut command = command(["lab", "serve", mode, "--once"]);
        let dir = tempfile::tempdir().unwrap();
        if mode == "files" {
            command.arg("--into").arg(dir.path());
        }
        let process = Process::spawn(command);
        let wanted = format!("127.0.0.1:{port}");
        eventually("it says where it listens, or that it cannot", || {
            process.stdout().contains('\n') || process.stderr().contains("in use")
        });
        let found = process.stdout() + &process.stderr();
        assert!(found.contains(&wanted), "{mode}: {found}");
    }
}

#[test]
fn ipv6_works_where_the_machine_has_it() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return crate::harness::not_run("this machine has no IPv6");
    }
    let server = LabServer::with(["serve", "echo", "::1", "0"]);
    assert!(server.address().is_ipv6());
    run_python(CLIENT, ["echo", "::1", &server.port()]);
}

#[test]
fn a_port_in_use_is_said_with_an_exit_code_of_its_own() {
    let server = LabServer::start("echo", &[]);
    let told = relay(["lab", "serve", "echo", "127.0.0.1", &server.port()]).assert().code(13);
    let told = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
    assert!(told.contains("in use"), "{told}");
}

#[test]
fn once_serves_one_connection_and_says_how_it_went() {
    let mut server = LabServer::start("echo", &["--once"]);
    let mut client = server.connect();
    client.send("hi");
    client.expect("hi");
    drop(client);
    server.process.expect_exit(0);

    let mut server = LabServer::start("json", &["--once"]);
    let mut client = server.connect();
    client.send(b"\0\0\0\x05ab");
    drop(client);
    server.process.expect_exit(1);
    server.process.expect_stderr("before a frame was complete");
}

#[test]
fn more_connections_than_allowed_are_turned_away() {
    let server = LabServer::start("echo", &["--max-connections", "2"]);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send("x");
        client.expect("x");
    }
    server.connect().expect_closed();
    server.process.expect_stderr("turned away");
    drop(clients);
    server.process.wait_stderr("both ends", |log| (log.matches("closed").count() >= 2).then_some(()));
    let mut next = server.connect();
    next.send("y");
    next.expect("y");
}

#[test]
fn messages_have_a_limit_in_each_mode() {
    let server = LabServer::start("received", &["--max-message", "10"]);
    let mut client = server.connect();
    client.send("0123456789abc");
    client.expect("Server received: 0123456789Server received: abc");

    let server = LabServer::start("echo", &["--max-message", "10", "--log-level", "debug"]);
    let mut client = server.connect();
    client.send("0123456789abc");
    client.expect("0123456789abc");
    server.process.expect_stderr("text=0123456789\n");

    let server = LabServer::start("timestamp", &["--max-message", "10"]);
    let mut client = server.connect();
    client.send("0123456789abc");
    let answer = client.receive_all();
    assert!(answer.ends_with(b": 0123456789"), "{}", answer.escape_ascii());

    let server = LabServer::start("json", &["--max-message", "10"]);
    let mut client = server.connect();
    client.send(b"\0\0\0\x0b\"123456789\"");
    let answer = client.receive_all();
    assert!(answer.windows(10).any(|w| w == b"at most 10"), "{}", answer.escape_ascii());

    relay(["lab", "serve", "echo", "--max-message", "0"]).assert().code(2);
}

#[test]
fn a_pause_ends_a_timestamp_message() {
    // Long enough that both parts are one message on a slow machine too.
    let server = LabServer::start("timestamp", &["--pause", "3s"]);
    let mut client = server.connect();
    client.send("one ");
    // The server has taken the first part before the second one is sent: it has answered another client meanwhile.
    let mut other = server.connect();
    other.send("x");
    other.shutdown_write();
    other.receive_all();
    client.send("message");
    client.shutdown_write();
    let answer = client.receive_all();
    assert!(answer.ends_with(b": one message"), "{}", answer.escape_ascii());
    // Nothing else ends it.
    let server = LabServer::start("timestamp", &["--pause", "700ms"]);
    let mut client = server.connect();
    let start = Instant::now();
    client.send("x");
    client.expect("Server received at ");
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn a_silent_client_is_disconnected_after_the_idle_timeout() {
    let server = LabServer::start("echo", &["--idle-timeout", "300ms"]);
    let start = Instant::now();
    server.connect().expect_closed();
    assert!(start.elapsed() >= Duration::from_millis(300));
    server.process.expect_stderr("sent nothing for 300ms");
    relay(["lab", "serve", "echo", "--idle-timeout", "0s"]).assert().code(2);
}

#[test]
fn logs_are_for_people_or_for_programs() {
    let mut server = command(["lab", "serve", "echo", "127.0.0.1", "0", "--log-format", "json"]);
    server.args(["--log-level", "debug"]);
    let server = Process::spawn(server);
    let line = server.wait_stdout("the announcement", |text| text.contains('\n').then(|| text.to_owned()));
    assert!(line.contains(r#""event":"listening""#), "{line}");
    server.expect_stderr(r#""message":"started""#);
    let quiet = LabServer::start("received", &["--log-level", "off"]);
    let mut client = quiet.connect();
    client.send("x");
    client.expect("Server received: x");
    assert_eq!(quiet.process.stderr(), "");
}

/// Tests of signals, which programs for Windows do not have here.
#[cfg(unix)]
mod signals {
    use super::*;

    #[test]
    fn ctrl_c_lets_a_message_finish_and_gives_the_port_back() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let mut server = LabServer::start("timestamp", &["--pause", "1s"]);
        let mut idle = server.connect();
        let mut client = server.connect();
        client.send("unfinished");
        // The first connections are accepted for certain when a third one is answered.
        let mut probe = server.connect();
        probe.send("x");
        probe.shutdown_write();
        probe.receive_all();
        server.process.signal("INT");
        let answer = client.receive_all();
        assert!(answer.ends_with(b": unfinished"), "{}", answer.escape_ascii());
        idle.expect_closed();
        drop((client, idle));
        server.process.expect_exit(0);
        server.process.expect_stderr("stopped");
        // The server closed these connections first, so their addresses are still held by the system.
        let again = LabServer::with(["serve", "echo", "127.0.0.1", &server.port()]);
        assert_eq!(again.port(), server.port());
    }

    #[test]
    fn a_stop_has_a_deadline_and_a_second_signal_none() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let unfinished = |options: &[&str]| {
            let server = LabServer::start("json", options);
            let mut client = server.connect();
            client.send(b"\0\0\0\x02{}\0\0\0\x05{");
            let (_, answer) = (client.receive(4), client.receive(br#"{"status":"ok","received":{}}"#.len()));
            assert!(answer.ends_with(b"}"));
            // Another answer, so that the server has certainly read the beginning of the second frame.
            let mut probe = server.connect();
            probe.send(b"\0\0\0\x011");
            probe.shutdown_write();
            probe.receive_all();
            (server, client)
        };
        let (mut server, _client) = unfinished(&["--drain-timeout", "200ms"]);
        server.process.signal("TERM");
        server.process.expect_exit(0);
        server.process.expect_stderr("cut off what did not finish in time");

        let (mut server, _client) = unfinished(&["--drain-timeout", "1h"]);
        server.process.signal("INT");
        server.process.expect_stderr("stopping");
        server.process.signal("INT");
        server.process.expect_exit(0);
        server.process.expect_stderr("cut off at once");
    }
}
