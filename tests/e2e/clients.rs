//! The program's own clients for scripts, `relay send` and `relay recv`, completions and man pages.

use std::{fs, net::TcpListener, process::Stdio};

use predicates::prelude::*;

use crate::{
    harness::{Process, Relay, command, eventually, option, pattern, relay, scaled},
    tunnel_reconnect::nobody,
};

/// A receiver that is registered for certain, also where an earlier one had the name.
pub fn receiver(server: &Relay, name: &str, options: &[&str]) -> Process {
    let address = server.address().to_string();
    let arguments = ["recv", "--relay", &address, "--as", name];
    let joined = format!("joined name={name} ");
    let before = server.process.stderr().matches(&joined).count();
    let process = Process::spawn(command(arguments.iter().chain(options)));
    server.process.wait_stderr(&joined, |log| (log.matches(&joined).count() > before).then_some(()));
    process
}

pub fn send(server: &Relay, arguments: &[&str]) -> assert_cmd::Command {
    let address = server.address().to_string();
    relay(["send", "--relay", &address].iter().chain(arguments))
}

#[test]
fn what_is_sent_arrives_and_the_receiver_ends_after_its_count() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "2"]);
    send(&server, &["to"]).write_stdin("hello ").assert().success().stdout("");
    send(&server, &["to", "-"]).write_stdin("world").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "hello world");
}

#[test]
fn a_message_that_comes_together_with_the_answer_to_the_hello_is_received_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut recv = Process::spawn(command(["recv", "--relay", &address, "--as", "a", "--count", "1"]));
    let mut relay = crate::harness::Socket(listener.accept().unwrap().0);
    assert_eq!(relay.control()["register"], "a");
    let answer = r#"{"hello":2,"registered":"a","max_message":1024,"idle_ms":600000}"#;
    relay.send(format!("|{}|{answer}b|5|hello", answer.len()));
    recv.expect_exit(0);
    assert_eq!(recv.stdout(), "hello");
}

#[test]
fn a_file_is_sent_and_a_missing_one_is_named() {
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, pattern(100_000)).unwrap();
    let mut to = receiver(&server, "to", &["--count", "1"]);
    send(&server, &["to", file.to_str().unwrap()]).assert().success();
    to.expect_exit(0);
    assert!(to.stdout_bytes() == pattern(100_000));
    let missing = folder.path().join("missing");
    send(&server, &["to", missing.to_str().unwrap()])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("cannot read"));
}

#[test]
fn a_name_that_nobody_has_fails_the_sender() {
    let server = Relay::start();
    let nobody =
        predicate::str::contains("nobody has the name nobody").and(predicate::function(one_sentence));
    send(&server, &["nobody"]).write_stdin("x").assert().code(1).stderr(nobody);
}

#[test]
fn wait_gives_the_receiver_time_to_come() {
    let server = Relay::start();
    let address = server.address().to_string();
    let mut sender =
        Process::spawn(command(["send", "--relay", &address, "--wait", "60s", "--as", "from", "late"]));
    sender.write("patience");
    sender.close_stdin();
    server.process.expect_stderr("joined name=from ");
    let mut to = receiver(&server, "late", &["--count", "1"]);
    to.expect_exit(0);
    sender.expect_exit(0);
    assert_eq!(to.stdout(), "patience");
}

#[test]
fn a_transfer_arrives_whole_under_its_name() {
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, pattern(5_000_000)).unwrap();
    let mut receiver = receiver(&server, "to", &["--transfer", "--output", to.to_str().unwrap()]);
    send(&server, &["to", from.to_str().unwrap(), "--transfer", "--chunk", "64KiB"]).assert().success();
    receiver.expect_exit(0);
    assert!(fs::read(&to).unwrap() == pattern(5_000_000));
    assert_eq!(receiver.stdout(), "");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no partial file is left");
}

#[test]
fn a_name_is_free_when_the_command_that_had_it_is_through() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "20"]);
    for _ in 0..20 {
        send(&server, &["--as", "script", "to"]).write_stdin("x").assert().success();
    }
    to.expect_exit(0);
}

#[test]
fn a_transfer_ends_whatever_its_size() {
    let server = Relay::start();
    for bytes in [0, 1, 4096] {
        let mut to = receiver(&server, "to", &["--transfer"]);
        send(&server, &["to", "--transfer", "--chunk", "4KiB"])
            .write_stdin(pattern(bytes))
            .assert()
            .success();
        to.expect_exit(0);
        assert!(to.stdout_bytes() == pattern(bytes));
        server.process.wait_stderr("its name is free", |log| {
            (log.matches("left name=to ").count() == log.matches("joined name=to ").count()).then_some(())
        });
    }
}

/// The two lines stand as they are, but for the port.
#[cfg(unix)]
#[test]
fn the_example_of_the_readme_does_what_it_says() {
    let server = Relay::start();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = readme.split("```sh\n").find(|block| block.contains("tar c photos")).unwrap();
    let script = block.split("```").next().unwrap().replace("127.0.0.1:8080", &server.address().to_string());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("photos")).unwrap();
    fs::write(folder.path().join("photos/small.jpg"), pattern(1000)).unwrap();
    // `relay` is whatever is being tested, with its runner.
    let program = command::<&str>([]);
    let words: Vec<_> = [program.get_program()]
        .into_iter()
        .chain(program.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let function = format!("relay() {{ '{}' \"$@\"; }}\n", words.join("' '"));
    let mut shell = std::process::Command::new("sh");
    shell.arg("-ec").arg(function + &script).current_dir(folder.path()).env_remove("RELAY_TOKEN");
    let mut shell = Process::spawn(shell);
    shell.expect_exit(0);
    let listing =
        std::process::Command::new("tar").arg("tf").arg(folder.path().join("photos.tar")).output().unwrap();
    assert!(String::from_utf8_lossy(&listing.stdout).contains("photos/small.jpg"), "{listing:?}");
}

#[test]
fn a_cut_off_transfer_fails_and_leaves_no_file() {
    let mut server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut to = receiver(&server, "to", &["--transfer", "--output", path.to_str().unwrap()]);
    let address = server.address().to_string();
    let mut from =
        Process::spawn(command(["send", "--relay", &address, "to", "--transfer", "--chunk", "1000B"]));
    from.write(pattern(1000));
    let part_is_there =
        || fs::read_dir(folder.path()).unwrap().flatten().any(|file| file.metadata().unwrap().len() == 1000);
    eventually("the first part is on the disk", part_is_there);
    server.process.kill();
    to.expect_exit(1);
    from.expect_exit(1);
    assert!(!path.exists());
    // wine removes a file when it sees that nobody has it open any more, a moment after the program has ended.
    eventually("nothing is left", || fs::read_dir(folder.path()).unwrap().count() == 0);
}

#[test]
fn lines_are_messages_in_both_directions() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "3", "--lines"]);
    send(&server, &["to", "--lines"]).write_stdin("one\ntwo\r\nthree").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "one\ntwo\nthree\n");
}

#[test]
fn json_says_who_and_how_long() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "2", "--json"]);
    send(&server, &["to", "--as", "from"]).write_stdin("hé").assert().success();
    send(&server, &["to", "--as", "from"]).write_stdin(&b"\xff\x00"[..]).assert().success();
    to.expect_exit(0);
    let lines: Vec<serde_json::Value> =
        to.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"from": "from", "length": 3, "text": "hé"}));
    assert_eq!(lines[1], serde_json::json!({"from": "from", "length": 2, "hex": "ff00"}));
}

#[test]
fn json_gives_a_name_that_is_not_utf_8_in_hexadecimal() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "1", "--json"]);
    server.client(b"\xff\"\\").send_to("to", "x");
    to.expect_exit(0);
    let line: serde_json::Value = serde_json::from_str(&to.stdout()).unwrap();
    assert_eq!(line, serde_json::json!({"from_hex": "ff225c", "length": 1, "text": "x"}));
}

#[test]
fn from_drops_what_others_send() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "1", "--from", "friend"]);
    send(&server, &["to", "--as", "stranger"]).write_stdin("no").assert().success();
    send(&server, &["to", "--as", "friend"]).write_stdin("yes").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "yes");
}

#[test]
fn the_timeout_fails_when_something_is_missing_and_succeeds_otherwise() {
    let server = Relay::start();
    let mut nothing = receiver(&server, "nothing", &["--timeout", "300ms"]);
    nothing.expect_exit(1);
    assert!(nothing.stderr().contains("nothing arrived for 300ms"));
    // It is there before: a program that starts may take longer than the receiver waits.
    let mut from = server.client("from");
    let mut some = receiver(&server, "some", &["--timeout", &option(scaled(1000))]);
    from.send_to("some", "enough");
    some.expect_exit(0);
    assert_eq!(some.stdout(), "enough");
}

#[test]
fn a_taken_name_is_an_answer_not_a_reason_to_retry() {
    let server = Relay::start();
    let _holder = server.client("name");
    let address = server.address().to_string();
    relay(["recv", "--relay", &address, "--as", "name"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("the name name is taken").and(predicate::function(one_sentence)));
    send(&server, &["x", "--as", "name"]).write_stdin("").assert().code(1);
}

#[test]
fn the_receiver_comes_back_by_itself_when_the_relay_does() {
    let mut server = Relay::start();
    let address = server.address().to_string();
    let mut to = receiver(&server, "to", &["--count", "2"]);
    send(&server, &["to"]).write_stdin("before ").assert().success();
    to.expect_stdout("before ");
    server.process.kill();
    to.expect_stderr("Trying again in");
    let server = Relay::listening(&address, &[]);
    to.expect_stderr("again.");
    send(&server, &["to", "--wait", "20s"]).write_stdin("after").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "before after");
}

#[test]
fn a_closed_standard_error_changes_no_exit_code() {
    let free = nobody().to_string();
    let cases: [&[&str]; 2] = [
        &["send", "x", "--relay", &free],
        // Tells of several attempts before it gives up.
        &["recv", "--as", "x", "--relay", &free, "--retry-for", "1s"],
    ];
    for arguments in cases {
        let mut command = command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn retry_for_bounds_the_attempts() {
    let free = nobody().to_string();
    relay(["recv", "--relay", &free, "--as", "to", "--retry-for", "700ms"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("refused the connection"));
}

#[test]
fn the_relay_is_named_by_the_environment_too() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "1"]);
    relay(["send", "to"])
        .env("RELAY_ADDR", server.address().to_string())
        .write_stdin("hi")
        .assert()
        .success();
    to.expect_exit(0);
    relay(["send", "to"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--relay").and(predicate::str::contains("RELAY_ADDR=HOST:PORT")));
}

#[test]
fn an_address_where_a_name_is_expected_gets_a_hint_and_so_does_a_name_for_an_address() {
    let at = "192.0.2.1:8080";
    let hints: [(&[&str], &str); 8] = [
        (&["connect", at, "bob"], "here they are two words: 192.0.2.1 8080"),
        (&["connect", "[::1]:8080"], "here they are two words: ::1 8080"),
        (&["connect", "192.0.2.1", "bob", "8080"], "`bob` is not a port"),
        (&["lab", "talk", at], "here they are two words: 192.0.2.1 8080"),
        (&["send", at, "bob"], "write --relay 192.0.2.1:8080, or set RELAY_ADDR=192.0.2.1:8080"),
        (&["recv", at, "--as", "bob"], "write --relay 192.0.2.1:8080"),
        (&["recv", "bob", "--relay", at], "write --as bob"),
        (&["send", "bob", "--relay", "alice"], "`alice` is not HOST:PORT"),
    ];
    for (words, hint) in hints {
        relay(words).write_stdin("").assert().code(2).stderr(predicate::str::contains(hint));
    }
    relay(["connect", "bob"])
        .env("RELAY_ADDR", at)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("does not look at RELAY_ADDR"));
}

#[test]
fn an_address_from_the_environment_is_said_to_be_from_there() {
    let free = nobody().to_string();
    for command in [&["send", "to"][..], &["recv", "--as", "to", "--retry-for", "0s"]] {
        let from_there = predicate::str::contains("the address is from RELAY_ADDR");
        let sentence = from_there.and(predicate::function(one_sentence));
        relay(command).env("RELAY_ADDR", &free).write_stdin("").assert().code(1).stderr(sentence);
        // The command line counts more.
        relay(command.iter().chain(&["--relay", &free]))
            .env("RELAY_ADDR", &free)
            .write_stdin("")
            .assert()
            .code(1)
            .stderr(predicate::str::contains("RELAY_ADDR").not());
    }
    relay(["send", "to"])
        .env("RELAY_ADDR", "nonsense")
        .assert()
        .code(2)
        .stderr(predicate::str::contains("the relay's address is from RELAY_ADDR"));
}

#[test]
fn failures_to_connect_are_one_sentence_each() {
    let free = nobody().to_string();
    let cases: [(&[&str], &str); 3] = [
        (&["send", "x", "--relay", &free], "refused the connection"),
        (&["send", "x", "--relay", "no-such-host.invalid:1"], "was not found"),
        (&["send", "x", "--relay", &free, "--connect-timeout", "5s"], "refused the connection"),
    ];
    for (arguments, part) in cases {
        let sentence = predicate::str::contains(part).and(predicate::function(one_sentence));
        relay(arguments).write_stdin("x").assert().code(1).stderr(sentence);
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    relay(["send", "x", "--relay", &silent, "--connect-timeout", "300ms"])
        .write_stdin("x")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("did not answer"));
}

pub fn one_sentence(text: &str) -> bool {
    text.lines().count() == 1 && text.starts_with("relay: ") && text.trim_end().ends_with('.')
}

#[test]
fn completions_that_nobody_reads_are_no_failure() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine has another error for a pipe that nobody reads");
    }
    for shell in ["bash", "zsh"] {
        let mut command = command(["completions", shell]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        relay(["completions", shell]).assert().success().stdout(predicate::str::contains("recv"));
    }
    relay(["man"]).assert().success().stdout(predicate::str::contains(".TH relay 1"));
    let folder = tempfile::tempdir().unwrap();
    relay(["man", folder.path().to_str().unwrap()]).assert().success();
    for page in ["relay.1", "relay-serve.1", "relay-connect.1", "relay-send.1", "relay-recv.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
