//! The interactive client, `relay connect`, and the program at a terminal.

use std::net::TcpListener;

#[cfg(target_os = "linux")]
use crate::clients::receiver;
use crate::{
    clients::one_sentence,
    harness::{Process, Relay, command, python},
};

/// `relay connect` as `name` with further options.
fn console(server: &Relay, name: &str, options: &[&str]) -> Process {
    let port = server.port();
    let process = Process::spawn(command(["connect", "127.0.0.1", &port, name].iter().chain(options)));
    server.process.expect_stderr(&format!("joined name={name} "));
    process
}

#[test]
fn the_interactive_client_talks_as_the_python_one_does() {
    let server = Relay::start();
    let mut rust = console(&server, "device_a", &[]);
    let mut other =
        Process::spawn(python("clients/python/test_client.py", ["127.0.0.1", &server.port(), "device_b"]));
    server.process.expect_stderr("joined name=device_b ");
    rust.expect_stdout("Command > ");
    rust.write("send\n");
    rust.expect_stdout("Dest name > ");
    rust.write("device_b\n");
    rust.expect_stdout("Data > ");
    rust.write("it's é\n");
    other.write("recv\n");
    other.expect_stdout("b\"it's \\xc3\\xa9\"");
    other.write("send\ndevice_a\nback again\n");
    rust.write("recv\n");
    rust.expect_stdout("b'back again'\nCommand > ");
    // What arrived while nobody asked is kept.
    let mut raw = server.client("raw");
    raw.send_to("device_a", "one");
    raw.sync(b"raw");
    raw.send_to("device_a", "two");
    raw.sync(b"raw");
    rust.write("recv\n");
    rust.expect_stdout("b'one");
    rust.write("dance\nhelp\nquit\n");
    rust.expect_exit(0);
    assert!(rust.stdout().contains("There is no command 'dance'"));
    other.write("quit\n");
    other.expect_exit(0);
}

#[test]
fn framed_and_version_2_show_the_sender_and_version_2_who_is_missing() {
    for (delivery, option) in [("framed", "--framed"), ("raw", "--v2")] {
        let server = Relay::with(&["--delivery", delivery]);
        let mut a = console(&server, "a", &[option]);
        let mut b = server.client("b");
        b.send_to("a", "hello");
        b.sync(b"b");
        a.write("recv\n");
        a.expect_stdout("b: b'hello'");
        if option == "--v2" {
            a.write("send\nnobody\nx\n");
            a.expect_stdout("Nobody has the name 'nobody'");
        }
        // The end of the input is a way to leave.
        a.close_stdin();
        a.expect_exit(0);
    }
}

#[test]
fn the_interactive_client_waits_for_the_answer_of_a_relay_that_is_far_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut a = Process::spawn(command(["connect", "127.0.0.1", &port, "a", "--v2"]));
    let mut relay = crate::harness::Socket(listener.accept().unwrap().0);
    let control = |json: &str| format!("|{}|{json}", json.len());
    assert_eq!(relay.control()["register"], "a");
    relay.send(control(r#"{"hello":2,"registered":"a","max_message":1024,"idle_ms":30000}"#));
    a.write("send\nnobody\nx\nhelp\n");
    relay.expect(format!("nobody|1|x{}", control(r#"{"ping":1}"#)));
    // The way there and back; there is no event to wait for.
    std::thread::sleep(std::time::Duration::from_millis(600));
    relay.send(control(r#"{"undeliverable":{"dest":"nobody","count":1}}"#));
    relay.send(control(r#"{"pong":1}"#));
    a.expect_stdout("quit  leave");
    let shown = a.stdout();
    assert!(shown.find("Nobody has the name 'nobody'") < shown.find("help  show"), "{shown}");
    assert!(shown.contains("Nobody has the name 'nobody'"), "{shown}");
}

#[test]
fn the_interactive_client_says_why_it_cannot_go_on() {
    let mut server = Relay::start();
    let _holder = server.client("taken");
    let mut second = Process::spawn(command(["connect", "127.0.0.1", &server.port(), "taken"]));
    // Its input stays open: it does not wait for a command to say so.
    second.expect_exit(1);
    assert!(second.stderr().contains("the name taken is taken at"), "{}", second.stderr());
    let mut cut = console(&server, "cut", &[]);
    cut.expect_stdout("Command > ");
    cut.write("send\n|\nx\n");
    cut.expect_stdout("That is no name");
    server.client("late").send_to("cut", "last words");
    server.process.expect_stderr("left name=late ");
    server.process.kill();
    cut.expect_exit(1);
    assert!(cut.stdout().contains("b'last words'"), "what arrived is shown: {}", cut.stdout());
    assert!(one_sentence(&cut.stderr()) && cut.stderr().contains("ended the connection"), "{}", cut.stderr());
}

#[test]
fn what_is_piped_in_keeps_its_bytes() {
    let server = Relay::start();
    let mut to = server.client(b"n\xffme");
    let mut from = console(&server, "from", &[]);
    from.write(b"send\nn\xffme\nd\xe9ta\xff\n");
    to.expect(b"d\xe9ta\xff");
    from.write(b"qu\xff\nquit\n");
    from.expect_exit(0);
    assert!(from.stdout().contains("There is no command 'qu\\xff'"), "{}", from.stdout());
}

#[test]
fn a_relay_that_asks_for_a_token_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a token that is long enough").unwrap();
    let server = Relay::with(&["--token-file", token.to_str().unwrap()]);
    let mut a = Process::spawn(command(["connect", "127.0.0.1", &server.port(), "a"]));
    a.expect_exit(1);
    assert!(a.stderr().contains("asks for a token") && one_sentence(&a.stderr()), "{}", a.stderr());
}

#[test]
fn framed_to_a_relay_that_delivers_raw_says_so() {
    for message in [&b"hi"[..], b"hello|", b"a|12", b"a|b|c", &[b'x'; 300]] {
        let server = Relay::start();
        let mut a = console(&server, "a", &["--framed"]);
        server.client("b").send_to("a", message);
        a.expect_exit(1);
        let said = a.stderr();
        assert!(said.contains(", which is no frame; if it runs with --delivery raw"), "{said}");
        assert!(
            said.contains(&format!(" sent b'{}", message[..2].escape_ascii())) && one_sentence(&said),
            "{said}"
        );
    }
}

#[test]
fn a_frame_may_arrive_in_parts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut a = Process::spawn(command(["connect", "127.0.0.1", &port, "a", "--framed"]));
    let mut relay = crate::harness::Socket(listener.accept().unwrap().0);
    relay.expect("a|");
    a.write("recv\n");
    for part in ["b", "|", "5", "|he", "llo"] {
        // There is no event to wait for: nothing is to happen.
        std::thread::sleep(std::time::Duration::from_millis(1200));
        relay.send(part);
    }
    a.expect_stdout("b: b'hello'");
    a.write("quit\n");
    a.expect_exit(0);
}

/// A case of the Python script, which plays the person at a terminal of the program.
#[cfg(target_os = "linux")]
fn on_terminal(case: &str, server: &Relay) -> Process {
    let program = command::<&str>([]);
    let mut driver =
        python("tests/e2e/python/terminal.py", [case, &server.address().ip().to_string(), &server.port()]);
    driver.arg(program.get_program()).args(program.get_args());
    Process::spawn(driver)
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_told_the_end_at_once_and_given_back_as_it_was() {
    if !crate::harness::is_native() {
        return crate::harness::not_run(
            "needs the native program: emulators do not know how it asks for a terminal's modes",
        );
    }
    let mut server = Relay::start();
    let mut driver = on_terminal("ended", &server);
    driver.expect_stdout("waiting");
    server.process.kill();
    driver.expect_exit(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_line_editing_history_and_a_progress_bar() {
    if crate::harness::is_windows() {
        return crate::harness::not_run("the program for Windows has no terminal of this system");
    }
    let server = Relay::start();
    let mut b = server.client("b");
    let mut editing = on_terminal("editing", &server);
    editing.expect_exit(0);
    // Typed with mistakes, which were corrected by backspace and arrows; then repeated from the history.
    b.expect("hello worldhello world");
    let receiver = receiver(&server, "sink", &["--transfer"]);
    let mut progress = on_terminal("progress", &server);
    progress.expect_exit(0);
    drop(receiver);
}
