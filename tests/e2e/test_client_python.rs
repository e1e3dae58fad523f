//! `test_client.py` with scripted input: what a person at its prompts sees, against the relay itself.

use crate::harness::{Process, Relay, python};

/// The client with these options.
fn start(relay: &Relay, name: &str, options: &[&str]) -> Process {
    let (host, port) = (relay.address().ip().to_string(), relay.port());
    let arguments = options.iter().copied().chain([host.as_str(), port.as_str(), name]);
    Process::spawn(python("clients/python/test_client.py", arguments))
}

/// The client with these options, registered for certain.
fn client(relay: &Relay, name: &str, options: &[&str]) -> Process {
    let mut client = start(relay, name, options);
    client.write(format!("send\n{name}\nhere\nrecv\n"));
    client.expect_stdout("b'here'");
    client
}

/// Two clients talk. `shown` is what `recv` writes in front of a message of `device_b` and of `device_a`.
fn converse(relay: &Relay, options: &[&str], shown: [&str; 2]) {
    let mut a = client(relay, "device_a", options);
    let mut b = client(relay, "device_b", options);
    a.write("recv\n");
    b.write("send\ndevice_a\ngrüße\n");
    a.expect_stdout(&format!("{}b'gr\\xc3\\xbc\\xc3\\x9fe'", shown[0]));
    a.write("send\ndevice_b\n1|2|x\n");
    b.write("recv\nquit\n");
    b.expect_exit(0);
    a.close_stdin();
    a.expect_exit(0);
    let ending = format!("{}b'1|2|x'\nCommand > ", shown[1]);
    assert!(b.stdout().replace("\r\n", "\n").ends_with(&ending), "{}", b.stdout());
    assert_eq!((a.stderr(), b.stderr()), (String::new(), String::new()));
}

#[test]
fn raw_delivery_shows_bytes() {
    let relay = Relay::start();
    converse(&relay, &[], ["Command > ", "Command > "]);
}

#[test]
fn framed_delivery_shows_senders() {
    let relay = Relay::with(&["--delivery=framed"]);
    converse(&relay, &["--framed"], ["Command > device_b: ", "Command > device_a: "]);
}

#[test]
fn version_2_shows_senders() {
    let relay = Relay::start();
    converse(&relay, &["--v2"], ["Command > device_b: ", "Command > device_a: "]);
}

#[test]
fn version_2_says_when_nobody_has_the_name() {
    let relay = Relay::start();
    let mut a = client(&relay, "device_a", &["--v2"]);
    a.write("send\nnobody\nhello\nquit\n");
    a.expect_exit(0);
    a.expect_stdout("Nobody has the name 'nobody'; what was sent to it was discarded.");
}

#[test]
fn the_prompts_are_those_of_the_documentation() {
    let relay = Relay::start();
    let mut a = client(&relay, "device_a", &[]);
    a.write("frobnicate\nexit\n");
    a.expect_exit(0);
    let stdout = a.stdout().replace("\r\n", "\n");
    let expected = "Command > Dest name > Data > Command > b'here'\nCommand > There is no command 'frobnicate'; \
                    there are recv, send, help, quit and exit.\nCommand > ";
    assert_eq!(stdout, expected);
}

#[test]
fn a_name_that_is_taken_is_told_at_once() {
    let relay = Relay::start();
    let _holder = relay.client("device_a");
    for (options, told) in [
        (&[][..], "right after registration: most likely another client has the name 'device_a'"),
        (&["--v2"][..], "The relay reports name_taken: the name device_a is taken."),
    ] {
        // Its input stays open: it does not end because of that.
        let mut late = start(&relay, "device_a", options);
        late.expect_exit(1);
        late.expect_stderr(told);
    }
}

#[test]
fn the_end_of_the_relay_is_told_while_the_prompt_waits() {
    let mut relay = Relay::start();
    let mut version_1 = client(&relay, "device_a", &[]);
    let mut version_2 = client(&relay, "device_b", &["--v2"]);
    relay.process.kill();
    for client in [&mut version_1, &mut version_2] {
        client.expect_exit(1);
        client.expect_stderr("The relay ended the connection");
    }
}

#[cfg(unix)]
#[test]
fn a_relay_that_stops_says_so_and_what_had_arrived_is_shown() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let relay = Relay::start();
    let mut a = client(&relay, "device_a", &["--v2"]);
    let mut b = client(&relay, "device_b", &["--v2"]);
    b.write("send\ndevice_a\nlast words\nsend\nnobody\nx\n");
    // Whoever has been told about the second message has had the first one routed.
    b.expect_stdout("Nobody has the name");
    relay.process.signal("TERM");
    a.expect_exit(1);
    a.expect_stdout("device_b: b'last words'");
    a.expect_stderr("The relay stops (shutdown); connect again in 1 s.");
    b.expect_exit(1);
}

#[test]
fn a_session_stays_while_nobody_types() {
    let relay = Relay::with(&["--idle-timeout=1s"]);
    let mut a = client(&relay, "device_a", &["--v2"]);
    for _ in 0..2 {
        // A client that sends no signs of life is disconnected meanwhile.
        relay.client("silent").expect_closed();
    }
    relay.client("device_b").send_to("device_a", "hello");
    a.write("recv\n");
    a.expect_stdout("device_b: b'hello'");
}
