//! Each way to fail has its sentence and its exit code.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use crate::harness::{LabServer, PythonServer, relay};

/// Runs `relay lab ARGS` without retries and with a timeout that is soon over, and requires the exit code and a part of the sentence.
fn fails(args: &[&str], code: i32, sentence: &str) {
    fails_within("500ms", args, code, sentence);
}

/// The same with a timeout.
fn fails_within(timeout: &str, args: &[&str], code: i32, sentence: &str) {
    let told = relay(["lab"].iter().chain(args).chain(&["--retries", "0", "--timeout", timeout]))
        .assert()
        .code(code);
    let text = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
    assert!(text.contains(sentence), "{args:?}: {text}");
    // One sentence: what happened; what to do.
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("relay: ") && last.contains("; ") && last.ends_with('.'), "{last}");
}

/// Each client with a server of that port.
fn each_client_fails(server: &PythonServer, timeout: &str, code: i32, sentence: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, vec![0; 100]).unwrap();
    let (port, file) = (server.port(), file.to_str().unwrap().to_owned());
    fails_within(timeout, &["talk", "127.0.0.1", &port, "hi"], code, sentence);
    fails_within(timeout, &["request", "127.0.0.1", &port, "{}"], code, sentence);
    fails_within(timeout, &["upload", "127.0.0.1", &port, &file], code, sentence);
    fails_within(timeout, &["check", "127.0.0.1", &port], code, sentence);
}

#[test]
fn the_help_has_the_table_of_exit_codes() {
    let told = relay(["lab", "--help"]).assert().success();
    let help = String::from_utf8_lossy(&told.get_output().stdout).into_owned();
    for code in 0..=13 {
        assert!(help.lines().any(|line| line.starts_with(&format!("{code:>4}  "))), "{code}: {help}");
    }
}

#[test]
fn a_name_that_does_not_exist() {
    // Longer than a part of a name can be, so that nobody is asked for it.
    let name = "x".repeat(64);
    fails(&["talk", &name, "80", "hi"], 3, "was not found");
    fails(&["check", &name, "80"], 3, "was not found");
}

#[test]
fn a_refused_connection() {
    let server = PythonServer::start("later");
    // Windows asks three times before it believes a refusal.
    each_client_fails(&server, "10s", 4, "nothing listens on that port");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_does_not_even_accept() {
    let server = PythonServer::start("full");
    let start = Instant::now();
    fails(&["talk", "127.0.0.1", &server.port(), "hi"], 5, "did not answer within 500ms");
    assert!(start.elapsed() >= Duration::from_millis(500));
    fails(&["check", "127.0.0.1", &server.port()], 5, "firewall");
}

/// A network of its own without a way out makes everything unreachable, without a packet into the real one.
#[cfg(target_os = "linux")]
#[test]
fn an_unreachable_host() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine says refused for unreachable");
    }
    let alone = |program: std::process::Command| {
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--net"])
            .arg(program.get_program())
            .args(program.get_args());
        command
    };
    if !alone(std::process::Command::new("true")).status().is_ok_and(|status| status.success()) {
        return crate::harness::not_run("this machine allows no namespaces");
    }
    let talk = ["lab", "talk", "192.0.2.1", "80", "hi", "--retries", "0", "--timeout", "3s"];
    let output = alone(crate::harness::command(talk)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains("cannot be reached from here"), "{text}");
}

#[test]
fn a_server_that_never_answers() {
    each_client_fails(&PythonServer::start("silent"), "500ms", 7, "sent nothing for 500ms");
}

#[test]
fn a_server_that_takes_nothing() {
    let server = PythonServer::start("deaf");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
    fails(&["upload", "127.0.0.1", &server.port(), file.to_str().unwrap()], 7, "took nothing for 500ms");
}

#[test]
fn a_timeout_can_be_longer() {
    let server = PythonServer::with(&["slow", "1"]);
    let port = server.port();
    fails(&["talk", "127.0.0.1", &port, "hi"], 7, "--timeout");
    relay(["lab", "talk", "127.0.0.1", &port, "hi", "--timeout", "15s"])
        .assert()
        .success()
        .stdout("here I am");
    relay(["lab", "talk", "127.0.0.1", &port, "hi", "--timeout", "0s"]).assert().code(2);
}

#[test]
fn a_server_that_closes_at_once() {
    let server = PythonServer::start("closing");
    let port = server.port();
    // It leaves bytes unread, for which its system may send a reset instead of an end.
    for args in [&["talk", "127.0.0.1", &port, "h"][..], &["check", "127.0.0.1", &port]] {
        let told = relay(["lab"].iter().chain(args).chain(&["--retries", "0"])).assert().failure();
        let code = told.get_output().status.code();
        assert!(matches!(code, Some(8 | 9)), "{code:?}");
    }
    // One byte is all that it reads, so that this end is a plain one.
    fails(&["talk", "127.0.0.1", &port, "h"], 8, "closed the connection before an answer");
}

#[test]
fn a_server_that_resets() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine does not tell a program that a connection was reset");
    }
    let server = PythonServer::start("resetting");
    fails(&["talk", "127.0.0.1", &server.port(), "h"], 9, "reset the connection");
    fails(&["request", "127.0.0.1", &server.port(), "{}"], 9, "reset the connection");
}

#[test]
fn a_conversation_that_the_server_ends() {
    let server = PythonServer::start("timestamp");
    relay(["lab", "talk", "127.0.0.1", &server.port()]).write_stdin("one\ntwo\n").assert().code(8);
}

#[test]
fn an_answer_that_is_not_what_the_protocol_says() {
    for (bytes, sentence) in
        [("000000027b5d", "not JSON"), ("ffffffff", "announced 4294967295 bytes"), ("00000000", "not JSON")]
    {
        let server = PythonServer::with(&["raw", bytes]);
        fails(&["request", "127.0.0.1", &server.port(), "{}"], 10, sentence);
    }
    // A bomb: more nesting than any parser should follow.
    let bomb = format!("{:08x}{}{}", 2000, "5b".repeat(1000), "5d".repeat(1000));
    let server = PythonServer::with(&["raw", &bomb]);
    fails(&["request", "127.0.0.1", &server.port(), "{}"], 10, "recursion limit");
    let server = PythonServer::with(&["raw", "0000"]);
    fails(&["request", "127.0.0.1", &server.port(), "{}"], 8, "before the length of a frame");
}

#[test]
fn an_answer_that_drips_without_end() {
    let server = PythonServer::start("drip_frame");
    fails(&["request", "127.0.0.1", &server.port(), "{}"], 7, "was still sending its answer after 6s");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    // What it takes and what it does not take, since it reads once only.
    for (bytes, sentence) in
        [(100, "was still sending its answer after 1s"), (30 << 20, "took nothing for 500ms")]
    {
        std::fs::write(&file, vec![7; bytes]).unwrap();
        let server = PythonServer::with(&["drip", "0"]);
        fails(&["upload", "127.0.0.1", &server.port(), file.to_str().unwrap()], 7, sentence);
    }
}

#[test]
fn a_server_that_does_not_want_the_file_or_has_got_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, vec![7; 5_000_000]).unwrap();
    let file = file.to_str().unwrap();
    let server = PythonServer::start("refusing");
    fails(&["upload", "127.0.0.1", &server.port(), file], 11, "error: the disk is full");
    let server = PythonServer::with(&["files", "wrong"]);
    fails(&["upload", "127.0.0.1", &server.port(), file], 10, "other bytes than were sent");
}

#[test]
fn a_file_that_cannot_be_sent() {
    let server = PythonServer::start("silent");
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    fails(&["upload", "127.0.0.1", &server.port(), missing.to_str().unwrap()], 12, "cannot send");
    fails(&["upload", "127.0.0.1", &server.port(), dir.path().to_str().unwrap()], 12, "cannot send");
}

#[test]
fn a_directory_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let below = file.join("below");
    let args = ["lab", "serve", "files", "127.0.0.1", "0", "--into", below.to_str().unwrap()];
    relay(args).assert().code(12).stderr(predicates::str::contains("--into"));
}

#[test]
fn wrong_usage() {
    for args in [
        &["talk", "127.0.0.1", "70000", "hi"][..],
        &["talk", "127.0.0.1", "0", "hi"],
        &["serve", "files"],
        &["serve", "echo", "127.0.0.1", "0", "--delay", "5"],
        &["serve", "echo", "127.0.0.1", "0", "--rate", "1MB"],
        &["serve", "echo", "127.0.0.1", "0", "--max-connections", "0"],
        &["proxy", "0", "nowhere"],
        &["proxy", "0", "127.0.0.1:9", "--timeout", "0s"],
        &["check", "127.0.0.1", "80", "--messages", "0"],
        &["check", "127.0.0.1", "80", "--size", "0"],
    ] {
        relay(["lab"].iter().chain(args)).assert().code(2);
    }
}

#[test]
fn a_proxy_whose_target_does_not_answer_resets_and_says_why() {
    let nobody = PythonServer::start("later");
    let proxy = LabServer::proxy(nobody.address(), &[]);
    assert_eq!(proxy.connect().0.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Wine does not tell our client.
    if !crate::harness::is_wine() {
        fails(&["talk", "127.0.0.1", &proxy.port(), "hi"], 9, "reset");
    }
    proxy.process.expect_stderr("refused the connection");
}

#[cfg(target_os = "linux")]
#[test]
fn a_proxy_waits_for_its_target_only_so_long() {
    let full = PythonServer::start("full");
    let proxy = LabServer::proxy(full.address(), &["--timeout", "400ms"]);
    proxy.connect().expect_closed();
    proxy.process.expect_stderr("did not answer within 400ms");
}

#[test]
fn a_number_that_is_no_port_is_not_taken_for_a_host() {
    relay(["lab", "serve", "echo", "99999"])
        .assert()
        .code(2)
        .stderr(predicates::str::contains("99999 is no port"));
}

#[test]
fn every_client_tells_its_exit_codes() {
    for client in ["talk", "request", "upload", "check"] {
        let told = relay(["lab", client, "--help"]).assert().success();
        told.stdout(predicates::str::contains("4  the connection was refused"));
    }
}
