//! Nothing that a stranger or a relay sends steers the terminal of a client.

use std::{net::TcpListener, process::Command, thread};

use crate::harness::{Process, Relay, Socket, command, is_windows, not_run, python};

/// Clears the screen, in two ways; then text that runs from right to left, and the name of the window.
const STEERING: &[u8] = b"\x1b[2J\xc2\x9b2J\xe2\x80\xae\x1b]0;title\x07\r.";

/// The same as a JSON text.
const STEERING_JSON: &str = r"\u001b[2J\u009b2J\u202e\u001b]0;title\u0007\r.";

const NO_TERMINAL: &str = "the program for Windows has no terminal of this system";

/// The command on a terminal of its own; what it shows there is on standard output.
fn on_terminal(program: &Command) -> Process {
    let mut terminal = python("tests/e2e/python/lab_terminal.py", [program.get_program()]);
    terminal.args(program.get_args());
    Process::spawn(terminal)
}

/// `relay recv --as to` on a terminal, registered for certain.
fn receiver(server: &Relay, options: &[&str]) -> Process {
    let address = server.address().to_string();
    let process = on_terminal(&command(["recv", "--relay", &address, "--as", "to"].iter().chain(options)));
    server.process.expect_stderr("joined name=to ");
    process
}

/// What is shown has nothing in it that a terminal obeys, but for the ends of lines.
fn is_harmless(shown: &str) -> bool {
    let is_steering = |c: char| (c.is_control() && c != '\r' && c != '\n') || c == '\u{202e}';
    !shown.chars().any(is_steering) && !shown.replace("\r\n", "\n").contains('\r')
}

#[test]
fn what_is_received_is_escaped_on_a_terminal() {
    if is_windows() {
        return not_run(NO_TERMINAL);
    }
    for (options, shown) in [
        (&[][..], r"\u{1b}[2J\u{9b}2J\u{202e}\u{1b}]0;title\u{7}\r."),
        (&["--lines"][..], r"\u{1b}[2J\u{9b}2J\u{202e}\u{1b}]0;title\u{7}\r."),
        // JSON itself escapes the oldest of them.
        (&["--json"][..], r#""text":"\u001b[2J\u{9b}2J\u{202e}\u001b]0;title\u0007\r.""#),
    ] {
        let server = Relay::start();
        let mut to = receiver(&server, &[&["--count", "1"], options].concat());
        server.client("from").send_to("to", STEERING);
        to.expect_exit(0);
        assert!(to.stdout().contains(shown), "{options:?}: {}", to.stdout());
        assert!(is_harmless(&to.stdout()), "{options:?}: {:?}", to.stdout());
    }
}

#[test]
fn a_character_in_two_messages_is_shown_whole_and_a_broken_one_at_the_end() {
    if is_windows() {
        return not_run(NO_TERMINAL);
    }
    let server = Relay::start();
    let mut to = receiver(&server, &["--count", "2"]);
    let mut from = server.client("from");
    from.send_to("to", b"a\xc3");
    from.send_to("to", b"\xa9\xe2\x82");
    to.expect_exit(0);
    assert_eq!(to.stdout(), "aé\\xe2\\x82");
}

#[test]
fn raw_gives_a_terminal_every_byte() {
    if is_windows() {
        return not_run(NO_TERMINAL);
    }
    let server = Relay::start();
    let mut to = receiver(&server, &["--count", "1", "--raw"]);
    server.client("from").send_to("to", STEERING);
    to.expect_exit(0);
    assert_eq!(to.stdout_bytes(), STEERING);
}

#[test]
fn a_pipe_gets_every_byte() {
    let server = Relay::start();
    let mut to = crate::clients::receiver(&server, "to", &["--count", "1"]);
    server.client("from").send_to("to", STEERING);
    to.expect_exit(0);
    assert_eq!(to.stdout_bytes(), STEERING);
}

/// The interactive clients, by the program that they are and their options.
fn interactive(port: &str, option: &str) -> [Command; 2] {
    let options: &[&str] = if option.is_empty() { &[] } else { &[option] };
    let words = [options, &["127.0.0.1", port, "to"]].concat();
    [command(["connect"].iter().chain(&words)), python("clients/python/test_client.py", words)]
}

#[test]
fn the_interactive_clients_show_bytes_as_python_does() {
    if is_windows() {
        return not_run(NO_TERMINAL);
    }
    for (delivery, option) in [("raw", ""), ("framed", "--framed"), ("raw", "--v2")] {
        let server = Relay::with(&["--delivery", delivery]);
        for client in interactive(&server.port(), option) {
            let joined = server.process.stderr().matches("joined name=to ").count();
            // Without a terminal there is no line editor, which steers it with good reason.
            let mut to = Process::spawn(client);
            server.process.wait_stderr("it has joined", |log| {
                (log.matches("joined name=to ").count() > joined).then_some(())
            });
            let mut from = server.client(b"fr\x1b\xc2\x9bom".as_slice());
            from.send_to("to", STEERING);
            to.write("recv\n");
            to.expect_stdout(r".'");
            to.write("quit\n");
            to.expect_exit(0);
            assert!(is_harmless(&to.stdout()), "{option}: {:?}", to.stdout());
        }
    }
}

/// A relay that refuses everybody in words of its own.
fn hostile(words: &str, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refusal = format!(r#"{{"error":{{"code":"unauthorized","message":"{words}"}}}}"#);
    thread::spawn(move || {
        for _ in 0..times {
            let mut client = Socket(listener.accept().unwrap().0);
            client.control();
            client.send(format!("|{}|{refusal}", refusal.len()));
            client.shutdown_write();
            client.receive_all();
        }
    });
    address
}

#[test]
fn the_words_of_a_relay_are_escaped() {
    if is_windows() {
        return not_run(NO_TERMINAL);
    }
    let address = hostile(STEERING_JSON, 6);
    let port = address.rsplit(':').next().unwrap().to_owned();
    let [connect, python] = interactive(&port, "--v2");
    let clients = [
        command(["send", "--relay", &address, "x", "/dev/null"]),
        command(["recv", "--relay", &address, "--as", "x"]),
        command(["expose", "--relay", &address, "x", "1", "--retry-for", "0s"]),
        command(["forward", "--relay", &address, "x", "-"]),
        connect,
        python,
    ];
    for client in clients {
        let mut process = on_terminal(&client);
        assert!(process.wait().code().is_some_and(|code| code != 0), "{client:?}");
        let shown = process.stdout();
        assert!(shown.contains("title"), "{client:?}: {shown}");
        // The log is coloured on a terminal.
        let plain = shown.replace("\u{1b}[0m", "").replace("\u{1b}[2m", "").replace("\u{1b}[3m", "");
        let plain = plain.replace("\u{1b}[31m", "").replace("\u{1b}[32m", "").replace("\u{1b}[33m", "");
        assert!(is_harmless(&plain), "{client:?}: {shown:?}");
    }
}
