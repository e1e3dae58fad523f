//! Whose name it is: its owner takes it over at once, a stranger never does.

use std::{net::TcpListener, process::Command, time::Instant};

use tcp_relay::wire::Secret;

use crate::harness::{DEADLINE, Process, Relay, Socket, command, frame, is_wine};

const MINE: &str = "the owner's own secret";

/// Says hello for `name` as the owner with the secret, or as nobody in particular.
fn ask(relay: &Relay, name: &str, secret: Option<&str>) -> Socket {
    let mut socket = relay.connect();
    let mut hello = serde_json::json!({ "hello": 2, "register": name });
    if let Some(secret) = secret {
        hello["owner"] = Secret::new(secret.as_bytes()).unwrap().owner_key(name.as_bytes()).to_hex().into();
    }
    socket.send(frame(b"", hello.to_string().as_bytes()));
    socket
}

fn registered(mut socket: Socket) -> Socket {
    let answer = socket.control();
    assert!(answer["registered"].is_string(), "{answer}");
    socket
}

fn expect_error(mut socket: Socket, code: &str) {
    let answer = socket.control();
    assert_eq!(answer["error"]["code"], code, "{answer}");
    socket.expect_closed();
}

#[test]
fn the_owner_takes_over_at_once_and_the_old_session_is_told() {
    let relay = Relay::start();
    let mut sender = relay.client("sender");
    let mut sessions = vec![registered(ask(&relay, "web", Some(MINE)))];
    for n in 0..20 {
        sessions.push(registered(ask(&relay, "web", Some(MINE))));
        expect_error(sessions.remove(0), "replaced");
        // Whatever the old session does when it leaves, the name stays with the new one.
        let text = format!("message {n}");
        sender.send_to("web", &text);
        sessions[0].expect(frame(b"sender", text.as_bytes()));
    }
    drop(sessions);
    relay.logged(&["left", "name=web", "its owner has registered the name anew"]);
}

#[test]
fn a_session_that_is_paused_or_reads_nothing_makes_way_too() {
    let relay = Relay::with(&["--queue", "1KiB"]);
    let mut sender = relay.client("sender");
    let stale = registered(ask(&relay, "web", Some(MINE)));
    // More than the system holds for a connection that is not read: the sender waits for room.
    sender.flood("web", &[b'x'; 1000]);
    let mut fresh = registered(ask(&relay, "web", Some(MINE)));
    fresh.expect("sender|1000|x");
    drop(stale);
}

#[test]
fn a_stranger_never_takes_over() {
    let relay = Relay::start();
    let mut owned = registered(ask(&relay, "web", Some(MINE)));
    let mut unowned = registered(ask(&relay, "free", None));
    expect_error(ask(&relay, "web", None), "name_taken");
    expect_error(ask(&relay, "web", Some("another secret")), "name_taken");
    // What has no owner cannot be taken over by anybody.
    expect_error(ask(&relay, "free", None), "name_taken");
    expect_error(ask(&relay, "free", Some(MINE)), "name_taken");
    let mut old = relay.connect();
    old.send("web|");
    old.expect_closed();
    // The key of another name is of no use.
    let mut other = relay.connect();
    let key = Secret::new(MINE.as_bytes()).unwrap().owner_key(b"ssh").to_hex();
    other.send(frame(b"", format!(r#"{{"hello":2,"register":"web","owner":"{key}"}}"#).as_bytes()));
    expect_error(other, "name_taken");
    for (socket, name) in [(&mut owned, "web"), (&mut unowned, "free")] {
        socket.send_to(name, "still here");
        socket.expect(frame(name.as_bytes(), b"still here"));
    }
}

#[test]
fn an_owner_key_that_is_none_is_a_bad_hello() {
    let relay = Relay::start();
    for owner in [r#""""#, r#""00""#, "7", &format!("{:?}", "g".repeat(64))] {
        let mut socket = relay.connect();
        socket.send(frame(b"", format!(r#"{{"hello":2,"register":"a","owner":{owner}}}"#).as_bytes()));
        expect_error(socket, "bad_hello");
    }
}

fn recv(relay: &Relay, owner: Option<&str>) -> Command {
    let mut command = command(["recv", "--as", "mine", "--relay", &relay.address().to_string()]);
    owner.map(|owner| command.env("RELAY_OWNER", owner));
    command
}

#[test]
fn a_program_with_the_owners_secret_replaces_another_which_ends() {
    let relay = Relay::start();
    let mut first = Process::spawn(recv(&relay, Some(MINE)));
    relay.logged(&["joined", "name=mine"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owner");
    std::fs::write(&path, MINE).unwrap();
    let mut from_file = recv(&relay, None);
    from_file.args(["--count", "1", "--owner-file"]).arg(&path);
    let mut second = Process::spawn(from_file);
    // It does not try to take the name back, which would never end.
    first.expect_exit(1);
    assert!(first.stderr().contains("another program of the same owner"), "{}", first.stderr());
    relay.client("sender").send_to("mine", "hello");
    second.expect_exit(0);
    assert_eq!(second.stdout(), "hello");
}

#[test]
fn programs_of_different_owners_do_not_replace_each_other() {
    let relay = Relay::start();
    let _first = Process::spawn(recv(&relay, None));
    relay.logged(&["joined", "name=mine"]);
    for owner in [None, Some(MINE)] {
        let mut second = Process::spawn(recv(&relay, owner));
        second.expect_exit(1);
        assert!(second.stderr().contains("the name mine is taken"), "{}", second.stderr());
    }
}

#[test]
fn a_client_that_lost_its_connection_takes_its_own_name_over() {
    // A cable that can be held: the relay goes on believing in the first connection.
    let relay = Relay::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = listener.local_addr().unwrap().to_string();
    let mut recv = Process::spawn(command(["recv", "--as", "mine", "--count", "1", "--relay", &between]));
    let (client, _) = listener.accept().unwrap();
    let stale = std::net::TcpStream::connect(relay.address()).unwrap();
    let pump = |from: &std::net::TcpStream, to: &std::net::TcpStream| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    };
    pump(&client, &stale);
    // Only as far as the client is in.
    relay.logged(&["joined", "name=mine"]);
    let mut hello = Socket(stale.try_clone().unwrap());
    let answer = hello.control();
    std::io::Write::write_all(&mut &client, &frame(b"", answer.to_string().as_bytes())).unwrap();
    // The client loses the connection; the relay's side stays open.
    client.shutdown(std::net::Shutdown::Both).unwrap();
    let (again, _) = listener.accept().unwrap();
    let fresh = std::net::TcpStream::connect(relay.address()).unwrap();
    pump(&again, &fresh);
    pump(&fresh, &again);
    recv.expect_stderr("connected to");
    relay.client("sender").send_to("mine", "hello");
    recv.expect_exit(0);
    assert_eq!(recv.stdout(), "hello");
}

/// Asks for the service and a public port.
fn expose(relay: &Relay, secret: Option<&str>, port: u16) -> Socket {
    let mut socket = relay.connect();
    let mut hello = serde_json::json!({ "hello": 2, "expose": "web", "port": port });
    if let Some(secret) = secret {
        hello["owner"] = Secret::new(secret.as_bytes()).unwrap().owner_key(b"web").to_hex().into();
    }
    socket.send(frame(b"", hello.to_string().as_bytes()));
    socket
}

#[test]
fn a_service_and_its_public_port_are_taken_over_by_their_owner_only() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = Relay::with(&["--public-ports", &format!("{free}-{free}")]);
    let mut service = expose(&relay, Some(MINE), free);
    assert_eq!(service.control()["port"], free);
    expect_error(expose(&relay, None, free), "name_taken");
    expect_error(expose(&relay, Some("another secret"), free), "name_taken");
    for _ in 0..10 {
        let mut next = expose(&relay, Some(MINE), free);
        let mut answer = next.control();
        let since = Instant::now();
        // wine lets a listening socket go only when the program has been told of its last event.
        while is_wine() && answer["error"]["code"] == "port_in_use" && since.elapsed() < *DEADLINE {
            next = expose(&relay, Some(MINE), free);
            answer = next.control();
        }
        assert_eq!((&answer["exposed"], &answer["port"]), (&"web".into(), &free.into()), "{answer}");
        expect_error(service, "replaced");
        let visitor = std::net::TcpStream::connect(("127.0.0.1", free)).unwrap();
        assert_eq!(next.control()["wanted"], 1);
        drop(visitor);
        service = next;
    }
}

/// Whoever was waiting for the earlier holder, which did not read, goes on with the new one.
#[test]
fn a_sender_that_waited_for_the_earlier_holder_goes_on_with_the_next() {
    let relay = Relay::with(&[
        "--queue",
        "64KiB",
        "--queue-extra",
        "0B",
        "--write-timeout",
        "1h",
        "--drain-timeout",
        "1h",
    ]);
    let owner = "1".repeat(64);
    let hello = frame(b"", format!(r#"{{"hello":2,"register":"r","owner":"{owner}"}}"#).as_bytes());
    let mut earlier = relay.connect();
    earlier.send(&hello);
    earlier.control();
    let mut sender = relay.client("sender");
    sender.flood("r", &[b'f'; 10_000]);
    let mut next = relay.connect();
    next.send(&hello);
    assert_eq!(next.control()["registered"], "r");
    // The rest of what it was sending, in the middle of which it was stopped, or the next.
    assert_eq!(next.receive(7), b"sender|");
    drop(earlier);
}
