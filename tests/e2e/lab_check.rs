//! `relay lab check`: what it finds and how it says it.

use crate::harness::{LabServer, PythonServer, relay};

/// The table and the exit code of a check.
fn check(port: &str, options: &[&str]) -> (String, Option<i32>) {
    let told = relay(["lab", "check", "127.0.0.1", port].iter().chain(options)).output().unwrap();
    (String::from_utf8_lossy(&told.stdout).into_owned(), told.status.code())
}

#[test]
fn plain_python_servers_pass() {
    for mode in ["echo", "received"] {
        let server = PythonServer::start(mode);
        let (table, code) = check(&server.port(), &[]);
        assert_eq!(code, Some(0), "{table}");
        for row in ["resolve", "connect", "round trip", "concurrent", "large"] {
            let found = table.lines().find(|line| line.starts_with(row)).unwrap_or_default();
            assert!(found.contains(" ok "), "{row}: {table}");
        }
        assert!(table.contains(" ms ") && table.contains("B/s"), "{table}");
    }
}

#[test]
fn the_plan_can_be_changed() {
    let server = PythonServer::start("count");
    let (table, code) = check(&server.port(), &["--messages", "3", "--connections", "7", "--size", "200kB"]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("3 messages") && table.contains("7 connections"), "{table}");
    // One for the messages, seven at the same time, one for the large message.
    server
        .process
        .wait_stdout("all connections", |text| (text.matches("connection\n").count() == 9).then_some(()));
    server.process.expect_stdout("bytes 200000");
    // Three messages of 26 bytes on one connection.
    server.process.expect_stdout("bytes 78");
}

#[test]
fn a_pause_ends_an_answer_that_is_not_an_echo() {
    let server = PythonServer::with(&["late", "1"]);
    let (table, _) = check(&server.port(), &["--messages", "1", "--pause", "50ms"]);
    assert!(table.contains("the last answer: first\n"), "{table}");
    let (table, _) = check(&server.port(), &["--messages", "1", "--pause", "15s"]);
    assert!(table.contains("the last answer: first second"), "{table}");
}

#[test]
fn a_server_that_answers_once_is_recognised() {
    let server = LabServer::start("timestamp", &[]);
    let (table, code) = check(&server.port(), &[]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("closes after each answer"), "{table}");
}

#[test]
fn what_fails_is_marked_and_the_rest_is_not_tried() {
    let server = PythonServer::start("silent");
    let (table, code) = check(&server.port(), &["--timeout", "300ms"]);
    assert_eq!(code, Some(7), "{table}");
    let states: Vec<_> = table.lines().map(|line| line[12..].split_whitespace().next().unwrap()).collect();
    assert_eq!(states, ["ok", "ok", "FAILED", "skipped", "skipped"], "{table}");
}

/// A check of a server that answers messages of `longest` bytes or more without an end; the named row is to fail.
fn an_endless_answer_fails(longest: &str, row: &str) {
    let server = PythonServer::with(&["drip", longest]);
    let options = ["--timeout", "500ms", "--pause", "1s", "--size", "10kB"];
    let (table, code) = check(&server.port(), &options);
    assert_eq!(code, Some(7), "{table}");
    let line = table.lines().find(|line| line.starts_with(row)).unwrap_or_default();
    assert!(
        line.contains("FAILED") && line.contains("the server was still sending its answer after"),
        "{table}"
    );
}

#[test]
fn a_server_that_answers_a_message_without_end_fails() {
    an_endless_answer_fails("0", "round trip");
}

#[test]
fn a_server_that_answers_the_large_message_without_end_fails() {
    an_endless_answer_fails("1000", "large");
}

#[test]
fn a_slow_network_is_measured() {
    let server = LabServer::start("echo", &["--delay", "60ms"]);
    let (table, code) = check(&server.port(), &["--messages", "3", "--size", "10kB"]);
    assert_eq!(code, Some(0), "{table}");
    let line = table.lines().find(|line| line.starts_with("round trip")).unwrap();
    let figure: f64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(figure >= 120.0, "{line}");
}

#[test]
fn every_address_of_a_name_is_tried() {
    let server = PythonServer::start("echo");
    let told = relay(["lab", "check", "localhost", &server.port()]).assert().success();
    let table = String::from_utf8_lossy(&told.get_output().stdout).into_owned();
    assert!(table.contains(&format!("127.0.0.1:{} in ", server.port())), "{table}");
}
