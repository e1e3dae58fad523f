//! How often a client comes back to a relay that lets it in and sends it away again.

use std::{
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{DEADLINE, Process, Socket, command, expose_command, frame};

/// A relay that answers each hello of a session with these frames and ends it. Says when each came.
fn turns_away(answer: &'static [&'static str]) -> (SocketAddr, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let came = Instant::now();
            stream.set_read_timeout(Some(*DEADLINE)).unwrap();
            let mut socket = Socket(stream);
            // What was to be parked may have been given up before it said anything.
            if !matches!(socket.0.peek(&mut [0]), Ok(1)) {
                continue;
            }
            // What is parked is no session.
            if socket.control().get("park").is_some() {
                continue;
            }
            answer.iter().for_each(|json| socket.send(frame(b"", json.as_bytes())));
            if sender.send(came).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

/// The pauses before the second to the fifth attempt are no shorter than half of 250 ms and its doubles.
fn expect_ever_longer_pauses(attempts: &Receiver<Instant>) {
    let mut last = attempts.recv_timeout(*DEADLINE).unwrap();
    for step in [250, 500, 1000, 2000] {
        let next = attempts.recv_timeout(*DEADLINE).unwrap();
        let pause = next - last;
        // The measured time begins a little after the client's.
        assert!(
            pause + Duration::from_millis(50) >= Duration::from_millis(step / 2),
            "{pause:?} for {step} ms"
        );
        last = next;
    }
}

const CLOSING: &str = r#"{"closing":{"reason":"shutdown","retry_ms":0}}"#;

#[test]
fn expose_comes_back_ever_less_often_to_a_relay_that_sends_it_away() {
    let exposed = r#"{"hello":2,"exposed":"web","key":"00112233445566778899aabbccddeeff","idle_ms":30000}"#;
    let (relay, attempts) = turns_away(Vec::leak(vec![exposed, CLOSING]));
    let _expose = Process::spawn(expose_command(relay, ["web", "127.0.0.1:1"]));
    expect_ever_longer_pauses(&attempts);
}

#[test]
fn recv_comes_back_ever_less_often_to_a_relay_that_sends_it_away() {
    let registered = r#"{"hello":2,"registered":"mine","max_message":1000,"idle_ms":30000}"#;
    for answer in [vec![registered, CLOSING], vec![registered]] {
        let (relay, attempts) = turns_away(Vec::leak(answer));
        let _recv = Process::spawn(command(["recv", "--as", "mine", "--relay", &relay.to_string()]));
        expect_ever_longer_pauses(&attempts);
    }
}

#[test]
fn a_client_that_is_replaced_time_and_again_gives_up() {
    let registered = r#"{"hello":2,"registered":"mine","max_message":1000,"idle_ms":30000}"#;
    let replaced = r#"{"error":{"code":"replaced","message":"its owner has registered the name anew"}}"#;
    let (relay, attempts) = turns_away(Vec::leak(vec![registered, replaced]));
    let mut recv = Process::spawn(command(["recv", "--as", "mine", "--relay", &relay.to_string()]));
    recv.expect_exit(1);
    assert!(recv.stderr().contains("another program of the same owner"), "{}", recv.stderr());
    assert_eq!(attempts.try_iter().count(), 6);
}

#[test]
fn a_message_of_which_nothing_is_known_is_not_passed_over_in_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut connect = Process::spawn(command(["connect", "127.0.0.1", &port, "mine", "--v2"]));
    let session = || {
        let mut socket = Socket(listener.accept().unwrap().0);
        socket.0.set_read_timeout(Some(*DEADLINE)).unwrap();
        assert_eq!(socket.control()["register"], "mine");
        socket.send(frame(b"", br#"{"hello":2,"registered":"mine","max_message":1000,"idle_ms":30000}"#));
        socket
    };
    let mut first = session();
    connect.expect_stdout("Command > ");
    connect.write("send\nbob\nhello\n");
    first.expect("bob|5|hello|10|{\"ping\":1}");
    first.send(frame(
        b"",
        br#"{"error":{"code":"replaced","message":"its owner has registered the name anew"}}"#,
    ));
    drop(first);
    let mut second = session();
    connect.expect_stdout("the message may be lost");
    // The new connection is as good as the first.
    connect.write("send\nbob\nagain\n");
    second.expect("bob|5|again|10|{\"ping\":1}");
    second.send("|10|{\"pong\":1}");
    second.send(frame(b"bob", b"thanks"));
    connect.write("recv\n");
    connect.expect_stdout("bob: b'thanks'");
}
