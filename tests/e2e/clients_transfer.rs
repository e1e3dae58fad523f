//! Transfers: both ends know where they begin and end, and neither waits for the other for ever or takes a part for the whole.

use std::{fs, io::Write, process::Stdio, thread, time::Duration};

use predicates::prelude::*;

use crate::{
    clients::{one_sentence, receiver, send},
    harness::{Process, Relay, command, eventually, pattern, relay},
};

/// A sender whose standard input is the test's.
fn sender(server: &Relay, options: &[&str]) -> Process {
    let address = server.address().to_string();
    let arguments = ["send", "--relay", &address, "to"];
    Process::spawn(command(arguments.iter().chain(options)))
}

/// The two ends of a transfer of which some bytes are through.
fn begun(server: &Relay, bytes: usize) -> (Process, Process) {
    let to = receiver(server, "to", &["--transfer"]);
    let mut from = sender(server, &["--transfer", "--chunk", "1000B", "--as", "from"]);
    from.write(pattern(bytes));
    eventually("the data is through", || to.stdout_bytes().len() == bytes);
    (from, to)
}

#[test]
fn a_sender_that_is_killed_fails_the_receiver() {
    let server = Relay::start();
    let (mut from, mut to) = begun(&server, 3000);
    from.kill();
    to.expect_exit(1);
    let said = to.stderr();
    assert!(said.contains("from left after 3000 bytes") && one_sentence(&said), "{said}");
}

#[cfg(unix)]
#[test]
fn a_sender_that_is_interrupted_fails_the_receiver_and_leaves_no_file() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut to = receiver(&server, "to", &["--transfer", "--output", path.to_str().unwrap()]);
    let mut from = sender(&server, &["--transfer", "--chunk", "1000B"]);
    from.write(pattern(1000));
    eventually("the first part is on the disk", || {
        fs::read_dir(folder.path()).unwrap().flatten().any(|file| file.metadata().unwrap().len() == 1000)
    });
    // As INT would; but what a script starts in the background ignores INT.
    from.signal("TERM");
    from.wait();
    to.expect_exit(1);
    assert!(to.stderr().contains("left after 1000 bytes"), "{}", to.stderr());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_sender_may_wait_for_its_input_for_as_long_as_it_likes() {
    let server = Relay::start();
    let (mut from, mut to) = begun(&server, 1000);
    // Longer than two probes of either end. There is no event to wait for: nothing is to happen.
    thread::sleep(Duration::from_secs(5));
    from.write(pattern(500));
    from.close_stdin();
    from.expect_exit(0);
    to.expect_exit(0);
    assert!(to.stdout_bytes() == [pattern(1000), pattern(500)].concat());
    assert_eq!((from.stderr(), to.stderr()), (String::new(), String::new()));
}

#[test]
fn a_receiver_that_leaves_is_told_by_the_sender_also_while_that_waits_for_its_input() {
    let server = Relay::start();
    let (mut from, mut to) = begun(&server, 3000);
    to.kill();
    from.expect_exit(1);
    let said = from.stderr();
    assert!(said.contains("to left after 3000 bytes were passed on") && one_sentence(&said), "{said}");
}

#[test]
fn a_receiver_that_leaves_in_the_middle_of_a_file_is_told_with_how_much_of_it_was_passed_on() {
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    // More than the receiver, the relay and the systems between them hold while nobody reads what is received.
    let bytes = 40_000_000;
    fs::write(&file, pattern(bytes)).unwrap();
    let address = server.address().to_string();
    let mut to = command(["recv", "--relay", &address, "--as", "to", "--transfer"]);
    let mut to = to.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    server.process.expect_stderr("joined name=to ");
    let mut from = sender(&server, &["--transfer", "--as", "from", file.to_str().unwrap()]);
    let mut first = [0; 1000];
    std::io::Read::read_exact(to.stdout.as_mut().unwrap(), &mut first).unwrap();
    to.kill().unwrap();
    to.wait().unwrap();
    from.expect_exit(1);
    let said = from.stderr();
    let passed_on =
        said.strip_prefix("relay: to left after ").and_then(|rest| rest.split_once(" of 40000000 bytes"));
    let passed_on: usize = passed_on.unwrap_or_else(|| panic!("{said}")).0.parse().unwrap();
    assert!(passed_on < bytes && one_sentence(&said), "{said}");
}

#[test]
fn a_receiver_of_messages_refuses_a_transfer_and_never_takes_a_part_for_a_message() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "1"]);
    let refused =
        || predicate::str::contains("receives single messages").and(predicate::function(one_sentence));
    send(&server, &["to", "--transfer", "--as", "from"])
        .write_stdin(pattern(3_000_000))
        .assert()
        .code(1)
        .stderr(refused());
    to.expect_exit(1);
    assert!(to.stderr().contains("from sends a transfer; receive it with --transfer"), "{}", to.stderr());
    assert_eq!(to.stdout(), "");
    // One that waits for no certain number goes on.
    let mut to = receiver(&server, "to", &[]);
    send(&server, &["to", "--transfer", "--as", "from"])
        .write_stdin("part")
        .assert()
        .code(1)
        .stderr(refused());
    to.expect_stderr("from wanted to send a transfer");
    send(&server, &["to"]).write_stdin("message").assert().success();
    to.expect_stdout("message");
    to.kill();
    assert_eq!(to.stdout(), "message");
}

#[test]
fn a_single_message_is_a_whole_transfer() {
    let server = Relay::start();
    for text in ["", "all of it"] {
        let mut to = receiver(&server, "to", &["--transfer"]);
        send(&server, &["to"]).write_stdin(text).assert().success();
        to.expect_exit(0);
        assert_eq!((to.stdout().as_str(), to.stderr().as_str()), (text, ""));
    }
}

#[test]
fn several_messages_are_no_transfer() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--transfer"]);
    let mut from = sender(&server, &["--lines", "--as", "from"]);
    from.write("one\ntwo\n");
    // It reads on, and is told.
    from.expect_exit(1);
    assert!(from.stderr().contains("send everything again with --transfer"), "{}", from.stderr());
    to.expect_exit(1);
    assert!(to.stderr().contains("from sends messages, not a transfer"), "{}", to.stderr());
    assert_eq!(to.stdout(), "");
}

#[test]
fn a_sender_of_a_message_that_stays_may_have_more_to_say() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--transfer"]);
    let mut from = server.client("from");
    from.send_to("to", "hello");
    to.expect_exit(1);
    assert!(to.stderr().contains("from sends messages, not a transfer"), "{}", to.stderr());
    assert_eq!(to.stdout(), "");
}

#[test]
fn whoever_takes_the_name_of_a_sender_is_not_taken_for_it() {
    let server = Relay::start();
    // The two take turns under the same names.
    let mut to = receiver(&server, "to", &["--transfer"]);
    send(&server, &["to", "--as", "from"]).write_stdin("there").assert().success();
    let mut back = receiver(&server, "from", &["--transfer"]);
    to.expect_exit(0);
    assert_eq!(to.stdout(), "there");
    send(&server, &["from", "--as", "to"]).write_stdin("and back").assert().success();
    back.expect_exit(0);
    assert_eq!(back.stdout(), "and back");
}

#[test]
fn what_is_more_than_one_message_is_refused_before_anything_is_sent() {
    let server = Relay::with(&["--max-message", "4B"]);
    let mut to = receiver(&server, "to", &["--count", "1"]);
    let names_transfer = || {
        predicate::str::contains("messages of up to 4 bytes")
            .and(predicate::str::contains("--transfer"))
            .and(predicate::function(one_sentence))
    };
    for text in ["abcde", "abcdefgh"] {
        send(&server, &["to"]).write_stdin(text).assert().code(1).stderr(names_transfer());
    }
    send(&server, &["to", "--lines"]).write_stdin("abcde\n").assert().code(1);
    send(&server, &["to"]).write_stdin("wxyz").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "wxyz");
}

#[test]
fn a_relay_that_takes_very_small_messages_carries_no_transfer() {
    let server = Relay::with(&["--max-message", "63B"]);
    send(&server, &["to", "--transfer"])
        .write_stdin("x")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("too few for a transfer").and(predicate::function(one_sentence)));
    let server = Relay::with(&["--max-message", "64B"]);
    let mut to = receiver(&server, "to", &["--transfer"]);
    send(&server, &["to", "--transfer"]).write_stdin(pattern(1000)).assert().success();
    to.expect_exit(0);
    assert!(to.stdout_bytes() == pattern(1000));
}

#[test]
fn chunk_cuts_a_transfer_and_nothing_else() {
    let server = Relay::start();
    let mut to = server.client("to");
    let mut from = sender(&server, &["--transfer", "--chunk", "2B", "--as", "from"]);
    from.write("abc");
    from.close_stdin();
    to.expect(b"\0relay-transfer\0b");
    to.send_to("from", b"\0relay-transfer\0r");
    to.expect(b"\0relay-transfer\0dab\0relay-transfer\0dc\0relay-transfer\0e3");
    // More than was sent is not what was sent.
    to.send_to("from", b"\0relay-transfer\0k4");
    from.expect_exit(1);
    relay(["send", "x", "--relay", "127.0.0.1:1", "--chunk", "2B"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--transfer"));
}

#[test]
fn data_that_looks_like_the_end_of_a_transfer_is_data() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--transfer"]);
    send(&server, &["to", "--transfer"]).write_stdin("\0relay-transfer\0e0").assert().success();
    to.expect_exit(0);
    assert_eq!(to.stdout(), "\0relay-transfer\0e0");
}

#[test]
fn a_transfer_of_which_something_is_missing_fails_the_receiver() {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--transfer"]);
    let mut from = server.client("from");
    from.send_to("to", b"\0relay-transfer\0b");
    from.expect(b"\0relay-transfer\0r");
    from.send_to("to", b"\0relay-transfer\0dabc");
    from.send_to("to", b"\0relay-transfer\0e4");
    from.expect(b"\0relay-transfer\0nbroken");
    to.expect_exit(1);
    assert!(to.stderr().contains("no whole transfer"), "{}", to.stderr());
}

#[test]
fn one_transfer_at_a_time() {
    let server = Relay::start();
    let (mut from, mut to) = begun(&server, 1000);
    let busy =
        predicate::str::contains("receives something else already").and(predicate::function(one_sentence));
    send(&server, &["to", "--transfer"]).write_stdin("other").assert().code(1).stderr(busy);
    // Nor does a message of somebody else get in between.
    send(&server, &["to"]).write_stdin("stranger").assert().success();
    from.close_stdin();
    from.expect_exit(0);
    to.expect_exit(0);
    assert!(to.stdout_bytes() == pattern(1000));
}

#[test]
fn whoever_asks_a_busy_receiver_and_reads_no_answer_does_not_hold_it_up() {
    let server = Relay::with(&["--write-timeout", "60s"]);
    let (mut from, mut to) = begun(&server, 1000);
    let mut stranger = server.client("stranger");
    stranger.0.set_write_timeout(Some(*crate::harness::DEADLINE)).unwrap();
    let asked = b"to|17|\0relay-transfer\0b".repeat(10_000);
    // The answers to all would fill every buffer on their way.
    for _ in 0..120 {
        stranger.0.write_all(&asked).unwrap();
    }
    from.close_stdin();
    from.expect_exit(0);
    to.expect_exit(0);
    assert!(to.stdout_bytes() == pattern(1000));
}

#[test]
fn a_program_that_knows_nothing_of_transfers_is_given_up() {
    let server = Relay::start();
    let _to = server.client("to");
    send(&server, &["to", "--transfer"]).write_stdin("x").assert().code(1).stderr(
        predicate::str::contains("is there, but takes no transfer").and(predicate::function(one_sentence)),
    );
}

#[test]
fn the_sender_succeeds_only_when_the_receiver_has_written_everything() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine has another error for a pipe that nobody reads");
    }
    let server = Relay::start();
    let address = server.address().to_string();
    let mut to = command(["recv", "--relay", &address, "--as", "to", "--transfer"]);
    let mut to = to.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    server.process.expect_stderr("joined name=to ");
    // More is sent than a pipe holds: other tests may have the reading end open for a moment, while they start programs.
    drop(to.stdout.take());
    send(&server, &["to", "--transfer"]).write_stdin(pattern(1_000_000)).assert().code(1).stderr(
        predicate::str::contains("to cannot write what it receives").and(predicate::function(one_sentence)),
    );
    assert_eq!(to.wait().unwrap().code(), Some(1));
}
