//! Version 2's messaging session, by raw sockets, and the examples of docs/protocol.md.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tcp_relay::wire::Secret;

use crate::harness::{Process, Relay, Socket, announced, command, frame, pattern};

/// Connects, says hello and takes the answer.
fn session(relay: &Relay, name: &str) -> Socket {
    let mut socket = relay.connect();
    socket.send(control(&format!(r#"{{"hello":2,"register":"{name}"}}"#)));
    let answer = socket.control();
    assert_eq!(answer["registered"], name, "{answer}");
    socket
}

fn control(json: &str) -> Vec<u8> {
    frame(b"", json.as_bytes())
}

#[test]
fn the_examples_of_the_protocol_hold_byte_for_byte() {
    let text = include_str!("../../docs/protocol.md");
    let blocks: Vec<&str> = text.split("```wire-example ").skip(1).collect();
    assert!(blocks.len() >= 8, "the examples are there");
    for block in blocks {
        if block.contains("ADDRESS_RELAY") && crate::harness::is_in_container() {
            // There it has another one inside, and addresses are longer than those of the example.
            continue;
        }
        let (options, steps) = block.split_once('\n').unwrap();
        let (delivery, token) = options.trim().split_once(" token ").unwrap_or((options.trim(), ""));
        let mut serve = command(["serve", "--listen", "127.0.0.1:0", "--delivery", delivery]);
        if !token.is_empty() {
            serve.env("RELAY_TOKEN", token);
        }
        let relay = Relay::from_process(Process::spawn(serve), announced);
        let mut sockets: BTreeMap<char, Socket> = BTreeMap::new();
        // Of the client whose hello came last.
        let (mut hello, mut challenge) = ("", String::new());
        let mut key = None::<String>;
        for step in steps.split("\n```").next().unwrap().lines() {
            let who = step.chars().next().unwrap();
            let is_new = !sockets.contains_key(&who);
            sockets.entry(who).or_insert_with(|| relay.connect());
            let mut known = step.get(3..).unwrap_or_default().to_owned();
            for (name, socket) in &sockets {
                let address = socket.0.local_addr().unwrap().to_string();
                known = known.replace(&format!("ADDRESS_{}", name.to_ascii_uppercase()), &address);
            }
            known = known.replace("ADDRESS_RELAY", &relay.address().to_string());
            known = key.iter().fold(known, |known, key| known.replace("KEY", key));
            let (text, bytes) = (known.as_str(), known.as_bytes());
            let socket = sockets.get_mut(&who).unwrap();
            match &step[1..2] {
                ">" => {
                    if text.contains("{\"hello\"") {
                        hello = &step[step.find('{').unwrap()..];
                    }
                    let secret = Secret::new(token.as_bytes());
                    let answer = secret.map(|token| token.answer(&challenge, hello.as_bytes()));
                    socket.send(text.replace("ANSWER", &answer.unwrap_or_default()));
                    // Version 1 does not answer a registration, and the next step may be another client's.
                    let may_register = is_new && bytes[0] != b'|' && token.is_empty();
                    if let (true, Some((name, []))) = (may_register, split_name(bytes)) {
                        socket.sync(name);
                    }
                }
                "<" => {
                    let mut learn = |word: &str, length: usize| {
                        let (before, behind) = text.split_once(word)?;
                        socket.expect(before);
                        let learnt = String::from_utf8(socket.receive(length)).unwrap();
                        socket.expect(behind);
                        Some(learnt)
                    };
                    if let Some(learnt) = learn("CHALLENGE", 64) {
                        challenge = learnt;
                    } else if let Some(learnt) = learn("KEY", 32) {
                        key = Some(learnt);
                    } else {
                        socket.expect(bytes);
                    }
                }
                "-" => socket.expect_closed(),
                other => panic!("an example has the step {other:?}"),
            }
        }
    }
}

#[test]
fn the_documented_answer_is_the_one_that_is_computed() {
    let text = include_str!("../../docs/protocol.md");
    let block = text.split("```hmac-example\n").nth(1).expect("the example is there");
    let mut values = block.lines().map(|line| line.split_once(' ').unwrap().1.trim());
    let [token, challenge, hello, answer] = std::array::from_fn(|_| values.next().unwrap());
    assert_eq!(Secret::new(token.as_bytes()).unwrap().answer(challenge, hello.as_bytes()), answer);
}

#[test]
fn the_documented_owner_key_is_the_one_that_is_computed() {
    let text = include_str!("../../docs/protocol.md");
    let block = text.split("```owner-example\n").nth(1).expect("the example is there");
    let mut values = block.lines().map(|line| line.split_once(' ').unwrap().1.trim());
    let [secret, name, owner] = std::array::from_fn(|_| values.next().unwrap());
    assert_eq!(Secret::new(secret.as_bytes()).unwrap().owner_key(name.as_bytes()).to_hex(), owner);
}

fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'|')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[test]
fn a_hello_registers_and_is_answered_with_the_limits() {
    let relay = Relay::with(&["--max-message", "5000B", "--idle-timeout", "7s"]);
    let mut socket = relay.connect();
    socket.send(control(r#"{"hello":2,"register":"a","colour":"unknown fields are ignored"}"#));
    let answer = socket.control();
    assert_eq!(answer["hello"], 2);
    assert_eq!(answer["max_message"], 5000);
    assert_eq!(answer["idle_ms"], 7000);
}

#[test]
fn messages_come_framed_and_cross_the_versions() {
    let relay = Relay::start();
    let mut old = relay.client("old");
    let mut new = session(&relay, "new");
    old.send_to("new", "from old");
    new.expect(frame(b"old", b"from old"));
    new.send_to("old", "from new");
    old.expect("from new");
    new.send_to("new", "to itself");
    new.expect(frame(b"new", b"to itself"));
    old.send("new|0|");
    new.expect("old|0|");
    let large = pattern(1 << 20);
    new.send_to("new", &large);
    new.expect(frame(b"new", &large));
}

#[test]
fn a_pong_comes_after_everything_before_its_ping() {
    let relay = Relay::start();
    let mut to = relay.client("to");
    let mut a = session(&relay, "a");
    let mut bytes = Vec::new();
    for n in 0..100 {
        bytes.extend(frame(b"to", b"x"));
        bytes.extend(frame(b"nobody", b"lost"));
        bytes.extend(control(&format!(r#"{{"ping":{n}}}"#)));
    }
    a.send(&bytes);
    for n in 0..100 {
        let notice = a.control();
        assert_eq!(notice["undeliverable"]["dest"], "nobody", "{notice}");
        assert_eq!(notice["undeliverable"]["count"], 1);
        assert_eq!(a.control()["pong"], n);
    }
    to.expect([b'x'; 100]);
}

#[test]
fn undeliverable_messages_are_counted_in_one_notice() {
    let relay = Relay::start();
    let mut a = session(&relay, "a");
    let mut bytes = [frame(b"nobody", b"1"), frame(b"nobody", b""), frame(b"nobody", b"333")].concat();
    bytes.extend(frame(b"\xff\x00", b"x"));
    bytes.extend(control(r#"{"ping":1}"#));
    a.send(&bytes);
    let mut to_nobody = 0;
    let mut to_binary = 0;
    loop {
        let message = a.control();
        if message["pong"] == 1 {
            break;
        }
        let notice = &message["undeliverable"];
        let count = notice["count"].as_u64().unwrap();
        match notice["dest_hex"].as_str() {
            Some(hex) => {
                assert_eq!(hex, "ff00");
                to_binary += count;
            }
            None => {
                assert_eq!(notice["dest"], "nobody");
                to_nobody += count;
            }
        }
    }
    assert_eq!((to_nobody, to_binary), (3, 1));
}

#[test]
fn a_message_over_the_limit_is_refused_and_the_session_goes_on() {
    let relay = Relay::with(&["--max-message", "1000B"]);
    let mut raw = relay.client("raw");
    let mut a = session(&relay, "a");
    for dest in ["raw", "a"] {
        a.send_to(dest, pattern(1001));
        let error = a.control();
        assert_eq!(error["error"]["code"], "too_large", "{error}");
        a.send_to("raw", "fits");
        raw.expect("fits");
    }
    a.send_to("a", [b'x'; 1000]);
    a.expect(frame(b"a", &[b'x'; 1000]));
}

#[test]
fn an_unknown_verb_is_an_error_that_does_not_end_the_session() {
    let relay = Relay::start();
    let mut a = session(&relay, "a");
    a.send(control(r#"{"dance":{"tempo":120}}"#));
    assert_eq!(a.control()["error"]["code"], "unknown_verb");
    a.send(control(r#"{"ping":1}"#));
    assert_eq!(a.control()["pong"], 1);
}

#[test]
fn a_field_that_is_unknown_does_not_hide_the_verb() {
    let relay = Relay::start();
    let mut a = session(&relay, "a");
    for json in [r#"{"ping":7,"x":2}"#, r#"{"x":null,"ping":7}"#, r#"{"hello":2,"ping":7}"#] {
        a.send(control(json));
        assert_eq!(a.control()["pong"], 7, "{json}");
    }
}

#[test]
fn a_frame_without_a_known_verb_does_not_end_the_session() {
    let relay = Relay::start();
    let mut a = session(&relay, "a");
    for json in ["{}", r#"{"dance":1,"sing":2}"#, r#"{"hello":2,"register":"b"}"#, r#"{"unpark":1}"#] {
        a.send(control(json));
        assert_eq!(a.control()["error"]["code"], "unknown_verb", "{json}");
    }
    // The second hello has changed nothing.
    a.send_to("a", "still here");
    a.expect(frame(b"a", b"still here"));
}

/// Control frames that end a session.
const FATAL: [&str; 11] = [
    r#"{"ping":-1}"#,
    r#"{"ping":"7"}"#,
    r#"{"ping":null}"#,
    r#"{"ping":1.0}"#,
    r#"{"ping":18446744073709551616}"#,
    r#"{"ping":1,"unpark":1}"#,
    r#"{"ping":1,"ping":1}"#,
    r#"{"ping":1,"x":1,"x":1}"#,
    r#"["ping",7]"#,
    r#"{"x":"\ud800"}"#,
    "7",
];

#[test]
fn a_control_frame_that_breaks_the_rules_ends_the_session() {
    let relay = Relay::start();
    for (n, json) in FATAL.iter().enumerate() {
        let mut service = relay.connect();
        service.send(control(&format!(r#"{{"hello":2,"expose":"a{n}"}}"#)));
        assert!(service.control()["exposed"].is_string());
        for mut a in [session(&relay, &format!("a{n}")), service] {
            a.send(control(json));
            assert_eq!(a.control()["error"]["code"], "bad_frame", "{json}");
            a.expect_closed();
        }
    }
}

#[test]
fn every_hello_is_challenged_before_it_is_judged() {
    const TOKEN: &str = "the token of the relay";
    let mut serve = command(["serve", "--listen", "127.0.0.1:0"]);
    serve.env("RELAY_TOKEN", TOKEN);
    let relay = Relay::from_process(Process::spawn(serve), announced);
    let token = Secret::new(TOKEN.as_bytes()).unwrap();
    let long = format!(r#"{{"hello":2,"register":"{}"}}"#, "n".repeat(256));
    for (hello, code) in [
        (r#"{"hello":3}"#, "bad_hello"),
        ("{}", "bad_hello"),
        (r#"{"hello":2,"register":"a","owner":7}"#, "bad_hello"),
        (r#"{"hello":2,"register":""}"#, "bad_name"),
        (&long, "bad_name"),
        (r#"{"hello":2,"open":"nobody"}"#, "no_such_service"),
    ] {
        let challenged = || {
            let mut socket = relay.connect();
            socket.send(control(hello));
            let challenge = socket.control()["challenge"].as_str().expect("a challenge").to_owned();
            (socket, token.answer(&challenge, hello.as_bytes()))
        };
        let (mut socket, answer) = challenged();
        socket.send(control(&format!(r#"{{"answer":"{answer}"}}"#)));
        assert_eq!(socket.control()["error"]["code"], code, "{hello}");
        socket.expect_closed();
        // Whoever cannot prove the token, in the one way there is, learns nothing about the hello.
        for wrong in [
            r#"{"answer":"UPPER"}"#,
            r#"["ANSWER"]"#,
            r#"{"answer":"ANSWER","answer":"ANSWER"}"#,
            r#"{"ping":7}"#,
        ] {
            let (mut socket, answer) = challenged();
            let wrong = wrong.replace("UPPER", &answer.to_uppercase()).replace("ANSWER", &answer);
            socket.send(control(&wrong));
            assert_eq!(socket.control()["error"]["code"], "unauthorized", "{wrong}");
            socket.expect_closed();
        }
    }
    // What is no hello at all has nothing to prove.
    for json in ["[2]", "{", r#"{"hello":2,"hello":2}"#] {
        let mut socket = relay.connect();
        socket.send(control(json));
        assert_eq!(socket.control()["error"]["code"], "bad_frame", "{json}");
    }
}

#[test]
fn every_refused_hello_is_answered_with_its_code() {
    let relay = Relay::start();
    let _holder = session(&relay, "held");
    let long = format!(r#"{{"hello":2,"register":"{}"}}"#, "n".repeat(256));
    let cases: &[(Vec<u8>, &str)] = &[
        (control(r#"{"hello":2,"register":"held"}"#), "name_taken"),
        (control(r#"{"hello":2,"register":""}"#), "bad_name"),
        (control(r#"{"hello":2,"register":"a|b"}"#), "bad_name"),
        (control(&long), "bad_name"),
        (control(r#"{"hello":2}"#), "bad_hello"),
        (control("{}"), "bad_hello"),
        (control(r#"{"ping":7}"#), "bad_hello"),
        (control(r#"{"hello":2,"register":"a","open":"a"}"#), "bad_hello"),
        (control(r#"{"hello":2,"register":null}"#), "bad_hello"),
        (control(r#"{"hello":2,"register":"a","owner":null}"#), "bad_hello"),
        (control(&format!(r#"{{"hello":2,"register":"a","owner":"{}"}}"#, "0A".repeat(32))), "bad_hello"),
        (control(r#"[2,"arr"]"#), "bad_frame"),
        (control(r#"{"hello":2,"register":"a","register":"b"}"#), "bad_frame"),
        (control(r#"{"hello":2,"register":"\ud800"}"#), "bad_frame"),
        (control(r#"{"hello":3,"register":"a"}"#), "bad_hello"),
        (control(r#"{"hello":"two","register":"a"}"#), "bad_hello"),
        (control("not json"), "bad_frame"),
        (control(""), "bad_frame"),
        (b"|x|".to_vec(), "bad_frame"),
        (b"||".to_vec(), "bad_frame"),
        (b"|16385|".to_vec(), "bad_frame"),
        (b"|99999999999999999999999|".to_vec(), "bad_frame"),
    ];
    for (hello, code) in cases {
        let mut socket = relay.connect();
        socket.send(hello);
        // Bytes behind it must not reset the answer away.
        socket.send("held|5|stuff");
        let answer = socket.control();
        assert_eq!(answer["error"]["code"], *code, "{} -> {answer}", hello.escape_ascii());
        assert!(answer["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        socket.expect_closed();
    }
}

#[test]
fn a_late_hello_is_told_so() {
    let relay = Relay::with(&["--register-timeout", "300ms"]);
    let since = Instant::now();
    let mut socket = relay.connect();
    socket.send(r#"|33|{"hello":2,"#);
    assert_eq!(socket.control()["error"]["code"], "timeout");
    socket.expect_closed();
    assert!(since.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_malformed_frame_is_answered_and_ends_the_session() {
    let relay = Relay::start();
    for (n, bad) in [b"to|x|".to_vec(), b"|20000|".to_vec(), control("[1]"), control("{"), vec![b'n'; 300]]
        .iter()
        .enumerate()
    {
        let mut a = session(&relay, &format!("a{n}"));
        a.send(bad);
        assert_eq!(a.control()["error"]["code"], "bad_frame", "{}", bad.escape_ascii());
        a.expect_closed();
    }
}

#[test]
fn a_silent_session_is_told_why_it_ends() {
    let relay = Relay::with(&["--idle-timeout", "400ms"]);
    let since = Instant::now();
    let mut a = session(&relay, "a");
    assert_eq!(a.control()["error"]["code"], "timeout");
    a.expect_closed();
    assert!(since.elapsed() >= Duration::from_millis(400), "{:?}", since.elapsed());
}

#[test]
fn a_session_that_does_not_read_its_notices_is_paused_not_remembered() {
    let relay = Relay::with(&["--write-timeout", "500ms"]);
    let mut a = session(&relay, "a");
    // Every batch is answered with notices that are never read; without a bound they would fill the memory. The relay stops reading
    // and then cuts, so that sending fails at last.
    let batch: Vec<u8> = (0..20_000).flat_map(|n| frame(format!("nobody{n}").as_bytes(), b"")).collect();
    let mut batches = 0;
    while std::io::Write::write_all(&mut a.0, &batch).is_ok() {
        batches += 1;
        assert!(batches < 2000, "the session is never paused");
    }
    relay.process.expect_stderr("it did not read what was sent to it");
}

#[test]
fn any_split_of_control_frames_and_messages_gives_the_same_result() {
    let relay = Relay::start();
    let mut a = relay.connect();
    let bytes = [
        control(r#"{"hello":2,"register":"a"}"#),
        frame(b"a", b"one"),
        control(r#"{"ping":5}"#),
        frame(b"a", b""),
        frame(b"a", b"two"),
    ]
    .concat();
    for byte in &bytes {
        a.send([*byte]);
    }
    assert_eq!(a.control()["registered"], "a");
    a.expect("a|3|one");
    assert_eq!(a.control()["pong"], 5);
    a.expect("a|3|two");
}
