//! Who is let in and who is not: tokens, by raw sockets and by the program's own clients.

use std::process::Command;

use predicates::str::contains;
use serde_json::json;
use tcp_relay::wire::Secret;

use crate::harness::{Process, Relay, Socket, announced, command, frame, relay};

const TOKEN: &str = "correct-horse-battery-staple";
const HELLO: &str = r#"{"hello":2,"register":"a"}"#;

fn serve(options: &[&str]) -> Command {
    let mut command = command(["serve", "--listen", "127.0.0.1:0"].iter().chain(options));
    command.env("RELAY_TOKEN", TOKEN);
    command
}

/// A relay with the token.
fn guarded(options: &[&str]) -> Relay {
    Relay::from_process(Process::spawn(serve(options)), announced)
}

/// Says hello and takes the challenge.
fn challenged(relay: &Relay, hello: &str) -> (Socket, String) {
    let mut socket = relay.connect();
    socket.send(frame(b"", hello.as_bytes()));
    let challenge = socket.control()["challenge"].as_str().expect("a challenge comes first").to_owned();
    assert_eq!(challenge.len(), 64, "{challenge}");
    (socket, challenge)
}

fn proof(token: &str, challenge: &str, hello: &str) -> String {
    Secret::new(token.as_bytes()).unwrap().answer(challenge, hello.as_bytes())
}

fn answer(socket: &mut Socket, answer: &str) {
    socket.send(frame(b"", json!({ "answer": answer }).to_string().as_bytes()));
}

fn expect_unauthorized(socket: &mut Socket) {
    let reply = socket.control();
    assert_eq!(reply["error"]["code"], "unauthorized", "{reply}");
    assert!(reply["error"]["message"].as_str().is_some_and(|text| text.contains("token")), "{reply}");
    socket.expect_closed();
}

/// Registers with the token, and is in.
fn session(relay: &Relay, name: &str) -> Socket {
    let hello = format!(r#"{{"hello":2,"register":"{name}"}}"#);
    let (mut socket, challenge) = challenged(relay, &hello);
    answer(&mut socket, &proof(TOKEN, &challenge, &hello));
    assert_eq!(socket.control()["registered"], name);
    socket
}

#[test]
fn a_proved_token_lets_in_and_is_logged_by_its_name() {
    let relay = guarded(&[]);
    let mut a = session(&relay, "a");
    let mut b = session(&relay, "b");
    a.send_to("b", "hello");
    b.expect("a|5|hello");
    relay.logged(&["joined", "name=a", "token=\"default\""]);
    assert!(!relay.log_at_end().contains(TOKEN));
}

#[test]
fn what_follows_the_answer_in_the_same_segment_is_not_lost() {
    let relay = guarded(&[]);
    let (mut socket, challenge) = challenged(&relay, HELLO);
    let reply = json!({ "answer": proof(TOKEN, &challenge, HELLO) }).to_string();
    socket.send([frame(b"", reply.as_bytes()), frame(b"a", b"to itself")].concat());
    assert_eq!(socket.control()["registered"], "a");
    socket.expect("a|9|to itself");
}

#[test]
fn a_wrong_token_is_refused_and_logged_with_its_address() {
    let relay = guarded(&[]);
    let (mut socket, challenge) = challenged(&relay, HELLO);
    let address = socket.0.local_addr().unwrap().to_string();
    answer(&mut socket, &proof("another-token-entirely", &challenge, HELLO));
    expect_unauthorized(&mut socket);
    relay.logged(&["WARN", "refused", &address, "token"]);
    // The name is still free.
    session(&relay, "a");
}

#[test]
fn what_is_no_answer_is_refused() {
    let relay = guarded(&[]);
    for bad in [
        frame(b"", b"{}"),
        frame(b"", br#"{"answer":""}"#),
        frame(b"", br#"{"answer":7}"#),
        frame(b"", br#"{"ping":1}"#),
        frame(b"", HELLO.as_bytes()),
        frame(b"a", b"a message"),
        b"|99999|".to_vec(),
    ] {
        let (mut socket, _) = challenged(&relay, HELLO);
        socket.send(&bad);
        expect_unauthorized(&mut socket);
    }
}

#[test]
fn who_never_answers_is_refused_in_the_time_for_registering() {
    let relay = guarded(&["--register-timeout", "300ms"]);
    let (mut socket, _) = challenged(&relay, HELLO);
    expect_unauthorized(&mut socket);
}

#[test]
fn who_leaves_at_the_challenge_is_logged_as_one_without_a_token() {
    let relay = guarded(&[]);
    let (socket, _) = challenged(&relay, HELLO);
    let address = socket.0.local_addr().unwrap().to_string();
    drop(socket);
    relay.logged(&["refused", &address, "no proof"]);
}

#[test]
fn an_answer_is_of_no_use_a_second_time() {
    let relay = guarded(&[]);
    let (mut first, challenge) = challenged(&relay, HELLO);
    let reply = proof(TOKEN, &challenge, HELLO);
    answer(&mut first, &reply);
    assert_eq!(first.control()["registered"], "a");
    drop(first);
    let (mut second, other) = challenged(&relay, HELLO);
    assert_ne!(challenge, other);
    answer(&mut second, &reply);
    expect_unauthorized(&mut second);
}

#[test]
fn an_answer_is_of_no_use_for_another_hello() {
    let relay = guarded(&[]);
    let (mut socket, challenge) = challenged(&relay, HELLO);
    answer(&mut socket, &proof(TOKEN, &challenge, r#"{"hello":2,"register":"b"}"#));
    expect_unauthorized(&mut socket);
    // Not even for one that means the same.
    let (mut socket, challenge) = challenged(&relay, HELLO);
    answer(&mut socket, &proof(TOKEN, &challenge, r#"{"hello":2, "register":"a"}"#));
    expect_unauthorized(&mut socket);
}

#[test]
fn a_hello_of_a_megabyte_is_refused_before_it_is_read() {
    for relay in [Relay::start(), guarded(&[])] {
        let mut socket = relay.connect();
        let hello = format!(r#"{{"hello":2,"register":"a","more":"{}"}}"#, "x".repeat(1 << 20));
        // The relay answers at the header, and may close before it has taken the rest.
        let _ = std::io::Write::write_all(&mut socket.0, &frame(b"", hello.as_bytes()));
        assert_eq!(socket.control()["error"]["code"], "bad_frame");
    }
}

#[test]
fn version_1_is_refused_where_there_is_a_token_unless_allowed() {
    let relay = guarded(&[]);
    let mut old = relay.connect();
    old.send("old|");
    old.expect_closed();
    relay.logged(&["refused", "version 1"]);
    let relay = guarded(&["--allow-v1"]);
    let mut old = relay.client("old");
    let mut new = session(&relay, "new");
    new.send_to("old", "hello");
    old.expect("hello");
    // Version 2 is asked all the same.
    challenged(&relay, r#"{"hello":2,"register":"b"}"#);
}

#[test]
fn the_token_may_be_in_a_file_which_counts_more_than_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\r\n")).unwrap();
    let mut command = serve(&["--token-file", path.to_str().unwrap()]);
    command.env("RELAY_TOKEN", "not this one, in any case");
    session(&Relay::from_process(Process::spawn(command), announced), "a");
}

#[test]
fn a_token_that_is_none_is_a_sentence() {
    for (token, words) in [("", "it is empty"), (" \n", "it is empty"), ("a\nb", "more than one line")] {
        let mut serve = relay(["serve", "--listen", "127.0.0.1:0"]);
        serve.env("RELAY_TOKEN", token).assert().code(2).stdout("").stderr(contains(words));
        let mut recv = relay(["recv", "--relay", "127.0.0.1:1", "--as", "a"]);
        recv.env("RELAY_TOKEN", token).assert().code(2).stdout("").stderr(contains(words));
    }
    let long = "x".repeat(1025);
    relay(["serve"]).env("RELAY_TOKEN", long).assert().code(2).stderr(contains("longer than 1024 bytes"));
    let missing = ["serve", "--token-file", "no-such-file"];
    relay(missing).assert().code(1).stderr(contains("cannot read the token in no-such-file"));
}

#[test]
fn a_short_token_is_warned_of() {
    let mut command = command(["serve", "--listen", "127.0.0.1:0"]);
    command.env("RELAY_TOKEN", "short");
    let short = Relay::from_process(Process::spawn(command), announced);
    short.logged(&["WARN", "token", "guessed"]);
    assert!(!guarded(&[]).log_at_end().contains("guessed"));
}

/// A command of the program against the relay, with a token or none.
fn client(relay: &Relay, args: &[&str], token: Option<&str>) -> Command {
    let mut command = command(args);
    command.args(["--relay", &relay.address().to_string()]);
    token.map(|token| command.env("RELAY_TOKEN", token));
    command
}

#[test]
fn send_and_recv_prove_the_token() {
    let relay = guarded(&[]);
    let mut recv = Process::spawn(client(&relay, &["recv", "--as", "b", "--count", "1"], Some(TOKEN)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    let from_file = ["send", "b", "--wait", "20s", "--token-file", path.to_str().unwrap()];
    let mut send = Process::spawn(client(&relay, &from_file, None));
    send.write("hello");
    send.close_stdin();
    send.expect_exit(0);
    recv.expect_exit(0);
    assert_eq!(recv.stdout(), "hello");
}

#[test]
fn clients_say_what_is_wrong_with_their_token() {
    let relay = guarded(&[]);
    for (token, sentence) in [
        (None, "asks for a token; set RELAY_TOKEN"),
        (Some("wrong-wrong-wrong-wrong"), "the token is none of this relay's; check the token"),
    ] {
        for args in [&["recv", "--as", "b"][..], &["send", "b"]] {
            let mut process = Process::spawn(client(&relay, args, token));
            process.expect_exit(1);
            assert!(process.stderr().contains(sentence), "{args:?} {token:?}: {}", process.stderr());
        }
    }
}

#[test]
fn the_interactive_client_proves_the_token_in_version_2_and_explains_version_1() {
    let relay = guarded(&[]);
    let mut taker = session(&relay, "taker");
    let mut connect = command(["connect", "127.0.0.1", &relay.port(), "me", "--v2"]);
    connect.env("RELAY_TOKEN", TOKEN);
    let mut connect = Process::spawn(connect);
    connect.write("send\ntaker\nhi\nquit\n");
    connect.expect_exit(0);
    taker.expect("me|2|hi");

    let mut old = Process::spawn(command(["connect", "127.0.0.1", &relay.port(), "me"]));
    old.write("recv\n");
    old.expect_exit(1);
    assert!(old.stderr().contains("use --v2"), "{}", old.stderr());
    let mut both = crate::harness::relay(["connect", "127.0.0.1", &relay.port(), "me", "--token-file", "x"]);
    both.assert().code(2).stderr(contains("use --v2"));
}
