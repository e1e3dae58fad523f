//! Services by raw sockets: expose, park, open and what is said in between, as docs/protocol.md has it.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Relay, Socket, eventually, frame, option, pattern, public_relay, scaled};

fn say(relay: &Relay, hello: &Value) -> Socket {
    let mut socket = relay.connect();
    socket.send(frame(b"", hello.to_string().as_bytes()));
    socket
}

/// A control session and the key of its service.
fn expose(relay: &Relay, name: &str) -> (Socket, String) {
    let mut control = say(relay, &json!({"hello": 2, "expose": name}));
    let answer = control.control();
    assert_eq!(answer["exposed"], name, "{answer}");
    let key = answer["key"].as_str().expect("there is a key").to_owned();
    assert_eq!(key.len(), 32, "{answer}");
    (control, key)
}

fn park(relay: &Relay, name: &str, key: &str) -> Socket {
    say(relay, &json!({"hello": 2, "park": name, "key": key}))
}

fn open(relay: &Relay, name: &str) -> Socket {
    say(relay, &json!({"hello": 2, "open": name}))
}

fn opened(relay: &Relay, name: &str) -> Socket {
    let mut visitor = open(relay, name);
    assert_eq!(visitor.control(), json!({"hello": 2, "opened": name}));
    visitor
}

fn expect_error(mut socket: Socket, code: &str) {
    let answer = socket.control();
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    socket.expect_closed();
}

#[test]
fn a_check_is_answered_and_makes_no_stream() {
    let relay = Relay::start();
    let check = |name: &str, value: Value| say(&relay, &json!({"hello": 2, "open": name, "check": value}));
    expect_error(check("web", true.into()), "no_such_service");
    let (mut control, key) = expose(&relay, "web");
    let mut parked = park(&relay, "web", &key);
    for value in [Value::Null, 1.into(), "true".into()] {
        expect_error(check("web", value), "bad_hello");
    }
    let mut asked = check("web", true.into());
    assert_eq!(asked.control(), json!({"hello": 2, "openable": "web"}));
    asked.expect_closed();
    // Nobody was told of a visitor, and the parked connection is there for the next one.
    sync(&mut control);
    let mut visitor = check("web", false.into());
    assert_eq!(visitor.control(), json!({"hello": 2, "opened": "web"}));
    assert!(parked.control()["stream"].is_object());
    visitor.send("hello");
    parked.expect("hello");
}

/// Waits until everything the control session was told has happened.
fn sync(control: &mut Socket) {
    control.send(frame(b"", br#"{"ping":77}"#));
    assert_eq!(control.control()["pong"], 77);
}

#[test]
fn a_parked_connection_becomes_the_stream_of_a_visitor() {
    let relay = Relay::with(&["--idle-timeout", "5s"]);
    let mut control = say(&relay, &json!({"hello": 2, "expose": "web"}));
    let answer = control.control();
    assert_eq!((&answer["hello"], &answer["idle_ms"]), (&2.into(), &5000.into()), "{answer}");
    assert!(answer["port"].is_null(), "{answer}");
    let mut parked = park(&relay, "web", answer["key"].as_str().unwrap());
    let mut visitor = opened(&relay, "web");
    let notice = parked.control();
    assert_eq!(notice["stream"]["from"], visitor.0.local_addr().unwrap().to_string(), "{notice}");
    // In a container it has another one inside.
    if !crate::harness::is_in_container() {
        assert_eq!(notice["stream"]["to"], relay.address().to_string(), "{notice}");
    }
    visitor.send("hello");
    parked.expect("hello");
    parked.send("welcome");
    visitor.expect("welcome");
}

#[test]
fn a_visitor_has_the_relay_ask_for_a_connection() {
    let relay = Relay::start();
    let (mut control, key) = expose(&relay, "web");
    let mut visitors: Vec<Socket> = (1..=3)
        .map(|n| {
            let visitor = open(&relay, "web");
            assert_eq!(control.control(), json!({"wanted": n}));
            visitor
        })
        .collect();
    for visitor in &mut visitors {
        // First come, first served.
        let mut parked = park(&relay, "web", &key);
        assert_eq!(visitor.control()["opened"], "web");
        let from = visitor.0.local_addr().unwrap().to_string();
        assert_eq!(parked.control()["stream"]["from"], from);
    }
}

#[test]
fn only_the_key_of_the_service_parks_a_connection() {
    let relay = Relay::start();
    let (mut control, key) = expose(&relay, "web");
    let (_other, other_key) = expose(&relay, "ssh");
    expect_error(park(&relay, "web", &other_key), "bad_key");
    expect_error(park(&relay, "web", &key[1..]), "bad_key");
    expect_error(park(&relay, "web", &key.to_uppercase().replace(char::is_numeric, "0")), "bad_key");
    expect_error(park(&relay, "web", ""), "bad_key");
    expect_error(say(&relay, &json!({"hello": 2, "park": "web"})), "bad_key");
    expect_error(park(&relay, "nobody", &key), "no_such_service");
    // None of them got a place.
    let _visitor = open(&relay, "web");
    assert_eq!(control.control()["wanted"], 1);
    assert!(!relay.log_at_end().contains(&key), "the key is in the log");
}

#[test]
fn a_key_is_of_no_use_after_its_session() {
    let relay = Relay::start();
    let (control, key) = expose(&relay, "web");
    drop(control);
    relay.logged(&["no longer exposed", "service=web"]);
    let (_control, _) = expose(&relay, "web");
    expect_error(park(&relay, "web", &key), "bad_key");
}

#[test]
fn hellos_that_cannot_be_served_are_answered_with_their_code() {
    let relay = Relay::start();
    let (_control, _) = expose(&relay, "web");
    for (hello, code) in [
        (json!({"hello": 2, "open": "nobody"}), "no_such_service"),
        (json!({"hello": 2, "expose": "web"}), "name_taken"),
        (json!({"hello": 2, "expose": ""}), "bad_name"),
        (json!({"hello": 2, "open": "a|b"}), "bad_name"),
        (json!({"hello": 2, "expose": "n".repeat(256)}), "bad_name"),
        (json!({"hello": 2, "expose": "a", "open": "a"}), "bad_hello"),
        (json!({"hello": 2, "expose": "a", "port": 65536}), "bad_hello"),
        (json!({"hello": 2, "expose": "a", "port": 0}), "port_not_allowed"),
        (json!({"hello": 2, "expose": "a", "port": 9000}), "port_not_allowed"),
        (json!({"hello": 2, "expose": "a", "more": "x".repeat(20_000)}), "bad_frame"),
    ] {
        expect_error(say(&relay, &hello), code);
    }
    // A name for messages and one for a service are two things.
    relay.client("web");
}

#[test]
fn a_hello_of_a_megabyte_is_refused_at_its_header() {
    let relay = Relay::start();
    for word in ["expose", "park", "open"] {
        let mut socket = relay.connect();
        let hello = format!(r#"{{"hello":2,"{word}":"web","more":"{}"}}"#, "x".repeat(1 << 20));
        // The relay may close before it has taken the rest.
        let _ = std::io::Write::write_all(&mut socket.0, &frame(b"", hello.as_bytes()));
        assert_eq!(socket.control()["error"]["code"], "bad_frame");
    }
}

/// Asks for a public port.
fn ask_port(relay: &Relay, name: &str, port: u16) -> Socket {
    say(relay, &json!({"hello": 2, "expose": name, "port": port}))
}

#[test]
fn a_port_that_the_operator_does_not_give_away_is_refused() {
    let (relay, ports) = public_relay(2, &[]);
    for port in [1, ports.start() - 1, ports.end() + 1, 65535] {
        expect_error(ask_port(&relay, "a", port), "port_not_allowed");
    }
}

#[test]
fn public_ports_are_those_the_operator_gives_away() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("the engine holds every port that is published");
    }
    let (relay, ports) = public_relay(2, &[]);
    let ask = |name: &str, port: u16| ask_port(&relay, name, port);
    let taken = TcpListener::bind(("127.0.0.1", *ports.start())).unwrap();
    expect_error(ask("a", *ports.start()), "port_in_use");
    // Whoever wants any gets the one that is left, and the next none.
    let mut a = ask("a", 0);
    assert_eq!(a.control()["port"], *ports.end());
    expect_error(ask("b", 0), "port_in_use");
    drop(taken);
    let mut b = ask("b", 0);
    assert_eq!(b.control()["port"], *ports.start());
    let _visitor = TcpStream::connect(("127.0.0.1", *ports.start())).unwrap();
    assert_eq!(b.control()["wanted"], 1);
    // The port goes with the session, and so does a name whose port could not be had.
    drop(a);
    relay.logged(&["no longer exposed", "service=a"]);
    eventually("the port is given back", || TcpStream::connect(("127.0.0.1", *ports.end())).is_err());
    assert_eq!(ask("a", *ports.end()).control()["port"], *ports.end());
}

#[test]
fn the_only_port_that_is_free_among_as_many_as_are_tried_is_found() {
    // As many as the relay tries.
    const PORTS: u16 = 64;
    if crate::harness::is_in_container() {
        return crate::harness::not_run("the engine holds every port that is published");
    }
    let (relay, ports) = public_relay(PORTS, &[]);
    for free in [*ports.start(), ports.start() + PORTS / 2, *ports.end()] {
        let others = ports.clone().filter(|port| *port != free);
        let _taken: Vec<TcpListener> =
            others.map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
        let mut control = ask_port(&relay, "web", 0);
        assert_eq!(control.control()["port"], free);
        drop(control);
        relay.logged(&["no longer exposed", "service=web"]);
        eventually("the name is free", || {
            ask_port(&relay, "web", 1).control()["error"]["code"] == "port_not_allowed"
        });
    }
}

#[test]
fn open_timeout_is_how_long_a_visitor_waits_for_the_service() {
    // Both visitors have come before the first one is given up.
    let timeout = scaled(800);
    let (relay, _) = public_relay(2, &["--open-timeout", &option(timeout)]);
    let mut control = say(&relay, &json!({"hello": 2, "expose": "web", "port": 0}));
    let port = control.control()["port"].as_u64().unwrap() as u16;
    let since = Instant::now();
    let by_name = open(&relay, "web");
    let mut by_port = Socket::connect(([127, 0, 0, 1], port).into());
    expect_error(by_name, "timeout");
    by_port.expect_closed();
    let took = since.elapsed();
    // The default is 10 s.
    assert!(took >= timeout && took < Duration::from_secs(8), "{took:?}");
    relay.logged(&["refused", "web did not answer in time"]);
    // Two that come at the same moment may be told in one word.
    while control.control()["wanted"] != 2 {}
    // They are no longer counted as waiting.
    let _next = open(&relay, "web");
    assert_eq!(control.control()["wanted"], 1);
}

#[test]
fn the_session_is_kept_alive_by_pings_and_ends_without_them() {
    let idle = scaled(2000);
    let relay = Relay::with(&["--idle-timeout", &option(idle)]);
    let (mut control, key) = expose(&relay, "web");
    let mut parked = park(&relay, "web", &key);
    let mut since = Instant::now();
    for n in 0..5u32 {
        // There is no event to wait for: silence is what is tested.
        thread::sleep(idle / 4);
        since = Instant::now();
        control.send(frame(b"", format!(r#"{{"ping":{n}}}"#).as_bytes()));
        assert_eq!(control.control()["pong"], n);
    }
    expect_error(control, "timeout");
    assert!(since.elapsed() >= idle, "{:?}", since.elapsed());
    parked.expect_closed();
    relay.logged(&["WARN", "no longer exposed", "silent for too long"]);
    expose(&relay, "web");
}

#[test]
fn what_the_relay_does_not_know_is_answered_and_what_is_wrong_ends_the_session() {
    let relay = Relay::start();
    let (mut control, _) = expose(&relay, "web");
    control.send(frame(b"", br#"{"dance":{"tempo":120}}"#));
    assert_eq!(control.control()["error"]["code"], "unknown_verb");
    sync(&mut control);
    for bad in [&b"web|5|hello"[..], b"|3|[1]", b"|x|", b"|20000|"] {
        let (mut control, _) = expose(&relay, "other");
        control.send(bad);
        expect_error(control, "bad_frame");
    }
    sync(&mut control);
}

#[test]
fn a_parked_connection_that_says_anything_is_ended() {
    let (relay, mut parked, _control, key) = parked(1);
    parked[0].send("hello?");
    parked[0].expect_closed();
    let hello = json!({"hello": 2, "park": "web", "key": key}).to_string();
    let mut hasty = relay.connect();
    hasty.send([frame(b"", hello.as_bytes()), b"hello?".to_vec()].concat());
    expect_error(hasty, "bad_frame");
}

#[test]
fn a_connection_that_says_something_behind_its_hello_is_refused_and_costs_no_visitor_and_no_place() {
    let relay = Relay::with(&["--open-timeout", "10m"]);
    let (mut control, key) = expose(&relay, "web");
    let mut visitor = open(&relay, "web");
    assert_eq!(control.control()["wanted"], 1);
    let hello = json!({"hello": 2, "park": "web", "key": key}).to_string();
    // One more than there is room for.
    for _ in 0..300 {
        let mut hasty = relay.connect();
        hasty.send([frame(b"", hello.as_bytes()), b"!".to_vec()].concat());
        expect_error(hasty, "bad_frame");
    }
    let mut late = park(&relay, "web", &key);
    assert_eq!(visitor.control()["opened"], "web");
    late.control();
    // Those that say something later lose their places at once.
    let mut hasty: Vec<Socket> = (0..256).map(|_| park(&relay, "web", &key)).collect();
    for socket in &mut hasty {
        socket.send("!");
    }
    for socket in &mut hasty {
        // Where the word comes with the hello it is answered.
        socket.receive_all();
    }
    let mut visitor = open(&relay, "web");
    assert_eq!(control.control()["wanted"], 1);
    let mut parked = park(&relay, "web", &key);
    assert_eq!(visitor.control()["opened"], "web");
    parked.control();
}

/// Waits until so many connections that were parked have been ended by the relay.
fn ended(parked: &mut Vec<Socket>, count: usize) {
    let left = parked.len() - count;
    for socket in &*parked {
        socket.0.set_nonblocking(true).unwrap();
    }
    eventually("the relay ends parked connections", || {
        parked.retain_mut(|socket| !matches!(socket.0.read(&mut [0]), Ok(0)));
        parked.len() <= left
    });
    assert_eq!(parked.len(), left);
}

#[test]
fn unpark_ends_as_many_as_it_says() {
    let (relay, mut parked, mut control, key) = parked(6);
    control.send(frame(b"", br#"{"unpark":2}"#));
    ended(&mut parked, 2);
    sync(&mut control);
    // The rest still serve.
    let _visitors: Vec<Socket> = (0..4).map(|_| opened(&relay, "web")).collect();
    let mut parked: Vec<Socket> = (0..3).map(|_| park(&relay, "web", &key)).collect();
    control.send(frame(b"", br#"{"unpark":4000000000}"#));
    // One of them may have come after that word.
    control.send(frame(b"", br#"{"ping":1}"#));
    while control.control()["pong"] != 1 {}
    drop(control);
    ended(&mut parked, 3);
}

/// A service with so many connections that are parked for certain.
fn parked(count: usize) -> (Relay, Vec<Socket>, Socket, String) {
    let relay = Relay::with(&["--log-level", "debug"]);
    let (mut control, key) = expose(&relay, "web");
    // Parking is not answered: the log tells.
    let parked: Vec<Socket> = (0..count).map(|_| park(&relay, "web", &key)).collect();
    for socket in &parked {
        let address = socket.0.local_addr().unwrap().to_string();
        relay.logged(&["parked", "service=web", &address]);
    }
    sync(&mut control);
    (relay, parked, control, key)
}

#[test]
fn a_parked_connection_that_is_gone_gets_no_visitor() {
    let relay = Relay::start();
    let (mut control, key) = expose(&relay, "web");
    for n in 0..50 {
        let gone = park(&relay, "web", &key);
        // Dropped alone it would live on in programs that other tests are just starting.
        gone.0.shutdown(std::net::Shutdown::Both).unwrap();
        drop(gone);
        let mut visitor = open(&relay, "web");
        let mut parked = park(&relay, "web", &key);
        // Either it was seen to be gone, or the visitor was passed on to the other.
        visitor.send(format!("visitor {n}"));
        assert_eq!(visitor.control()["opened"], "web");
        parked.control();
        parked.expect(format!("visitor {n}"));
    }
    control.send(frame(b"", br#"{"ping":78}"#));
    while control.control()["pong"] != 78 {}
}

#[test]
fn streams_outlive_the_control_session_and_visitors_that_wait_do_not() {
    let relay = Relay::start();
    let (mut control, key) = expose(&relay, "web");
    let mut parked = park(&relay, "web", &key);
    let mut visitor = opened(&relay, "web");
    parked.control();
    let waiting = open(&relay, "web");
    assert_eq!(control.control()["wanted"], 1);
    drop(control);
    expect_error(waiting, "no_such_service");
    expect_error(open(&relay, "web"), "no_such_service");
    let bytes = pattern(1 << 20);
    thread::scope(|scope| {
        scope.spawn(|| visitor.send(&bytes));
        assert!(parked.receive(bytes.len()) == bytes);
    });
}

#[test]
fn a_control_session_that_reads_nothing_is_cut() {
    let relay = Relay::with(&["--write-timeout", "500ms"]);
    let (mut control, _) = expose(&relay, "web");
    let pings = frame(b"", br#"{"ping":18446744073709551615}"#).repeat(1000);
    let mut batches = 0;
    while std::io::Write::write_all(&mut control.0, &pings).is_ok() {
        batches += 1;
        assert!(batches < 2000, "the session is never cut");
    }
    relay.logged(&["no longer exposed", "it did not read what was sent to it"]);
    expose(&relay, "web");
}

#[test]
fn a_service_has_a_bound_on_parked_connections() {
    let (relay, _parked, _control, key) = parked(256);
    expect_error(park(&relay, "web", &key), "too_many_streams");
    let _visitor = opened(&relay, "web");
    let address = park(&relay, "web", &key).0.local_addr().unwrap().to_string();
    relay.logged(&["parked", &address]);
}
