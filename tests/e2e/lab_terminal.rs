//! What a person at a terminal sees, through a pseudo-terminal.

use crate::harness::{LabServer, Process, PythonServer, command, is_windows, python};

/// The program with `args` on a terminal of its own; what it shows there is on standard output.
fn on_terminal(args: &[&str]) -> Process {
    let program = command(["lab"].iter().chain(args));
    let mut terminal = python("tests/e2e/python/lab_terminal.py", [program.get_program()]);
    terminal.args(program.get_args());
    Process::spawn(terminal)
}

#[test]
fn a_terminal_is_asked_and_what_could_steer_it_is_escaped() {
    if is_windows() {
        return crate::harness::not_run("the program for Windows has no terminal of this system");
    }
    let server = PythonServer::start("greeting");
    let mut terminal = on_terminal(&["talk", "127.0.0.1", &server.port()]);
    terminal.expect_stdout(r"\u{1b}[2JWelcome\xff");
    terminal.expect_stdout("Message > ");
    terminal.write("hello\n");
    terminal.expect_stdout("HELLO");
    terminal.wait_stdout("the next question", |text| {
        text.rsplit("HELLO").next().is_some_and(|rest| rest.contains("Message > ")).then_some(())
    });
    assert!(!terminal.stdout().contains("\u{1b}[2J"));
    // Ctrl-D.
    terminal.write("\x04");
    terminal.expect_exit(0);
}

#[test]
fn an_answer_ends_its_line_on_a_terminal() {
    if is_windows() {
        return crate::harness::not_run("the program for Windows has no terminal of this system");
    }
    let server = LabServer::start("received", &[]);
    let mut terminal = on_terminal(&["talk", "127.0.0.1", &server.port(), "hi"]);
    terminal.expect_exit(0);
    assert!(terminal.stdout().contains("Server received: hi\r\n"), "{}", terminal.stdout());
}

#[test]
fn a_json_answer_cannot_steer_the_terminal() {
    if is_windows() {
        return crate::harness::not_run("the program for Windows has no terminal of this system");
    }
    // `"\u{9b}31m"` in JSON: a control character that JSON allows unescaped.
    let server = PythonServer::with(&["raw", "0000000722c29b33316d22"]);
    let mut terminal = on_terminal(&["request", "127.0.0.1", &server.port(), "1"]);
    terminal.expect_exit(0);
    assert!(terminal.stdout().contains("\"\\u{9b}31m\""), "{}", terminal.stdout());
}

#[test]
fn an_upload_shows_how_far_it_is_on_a_terminal() {
    if is_windows() {
        return crate::harness::not_run("the program for Windows has no terminal of this system");
    }
    let dir = tempfile::tempdir().unwrap();
    let server = LabServer::start("files", &["--into", dir.path().to_str().unwrap(), "--rate", "8mbit"]);
    let file = dir.path().join("source");
    std::fs::write(&file, vec![7; 1_000_000]).unwrap();
    let mut terminal =
        on_terminal(&["upload", "127.0.0.1", &server.port(), file.to_str().unwrap(), "--name", "a"]);
    terminal.expect_exit(0);
    assert!(terminal.stdout().contains("100%  976.6 KiB of 976.6 KiB, "), "{}", terminal.stdout());
}

#[test]
fn an_upload_shows_nothing_where_there_is_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let server = LabServer::start("files", &["--into", dir.path().to_str().unwrap(), "--rate", "8mbit"]);
    let file = dir.path().join("source");
    std::fs::write(&file, vec![7; 1_000_000]).unwrap();
    let mut plain = Process::spawn(command([
        "lab",
        "upload",
        "127.0.0.1",
        &server.port(),
        file.to_str().unwrap(),
        "--name",
        "b",
    ]));
    plain.expect_exit(0);
    assert!(!plain.stderr().contains('%'), "{}", plain.stderr());
}
