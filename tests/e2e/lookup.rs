//! Looking up the name of a relay where DNS is not in order, in a network of its own with its own `/etc/resolv.conf`.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    thread,
};

use crate::{
    clients::one_sentence,
    harness::{Machines, Process, command},
};

/// What a name server says to a question.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    /// The address 127.0.0.1.
    Address,
    /// There is nothing of this type.
    Nothing,
    Error(u8),
    Silence,
}

const SERVFAIL: Says = Says::Error(2);
const NXDOMAIN: Says = Says::Error(3);
const REFUSED: Says = Says::Error(5);

/// A name server on loopback. It ends with the test program.
fn name_server(machines: &Machines, address: Ipv4Addr, v4: Says, v6: Says) {
    let socket = machines.within_near(move || UdpSocket::bind((address, 53)).unwrap());
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..n], v4, v6) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// RFC 1035, of one question: the header, and the question as it came.
fn answer(question: &[u8], v4: Says, v6: Says) -> Option<Vec<u8>> {
    let name_end = 12 + question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = question.get(..name_end + 5)?;
    let says = if question[name_end + 2] == 28 { v6 } else { v4 };
    let (code, answers) = match says {
        Says::Silence => return None,
        Says::Address => (0, 1),
        Says::Nothing => (0, 0),
        Says::Error(code) => (code, 0),
    };
    let mut answer = vec![question[0], question[1], 0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0];
    answer.extend_from_slice(&question[12..]);
    if says == Says::Address {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// The program on the near machine, where these are the name servers.
fn with_name_servers(machines: &Machines, servers: &[Ipv4Addr], program: &Command) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(&file, lines).unwrap();
    // `ip netns exec` gives it mounts of its own. The program says that it has begun, since the file goes with this function.
    let script = "mount --bind \"$1\" /etc/resolv.conf && shift && echo mounted && exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&file).arg(program.get_program()).args(program.get_args());
    let process = machines.spawn_near(&shell);
    process.expect_stdout("mounted");
    process
}

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// Sends to a relay at port 1 of the name, where nobody listens.
fn send(machines: &Machines, servers: &[Ipv4Addr]) -> Process {
    let program = command(["send", "--relay", "relay.example:1", "x", "/dev/null"]);
    with_name_servers(machines, servers, &program)
}

#[test]
fn a_good_ipv4_address_is_enough() {
    for v6 in [Says::Nothing, NXDOMAIN, SERVFAIL, REFUSED, Says::Silence] {
        let Some(machines) = Machines::new() else { return };
        name_server(&machines, FIRST, Says::Address, v6);
        let mut send = send(&machines, &[FIRST]);
        send.expect_exit(1);
        let said = send.stderr();
        assert!(said.contains("refused the connection"), "{v6:?}: {said}");
    }
}

#[test]
fn a_name_server_that_knows_nothing_does_not_hide_one_that_does() {
    let second = Ipv4Addr::new(127, 0, 0, 54);
    for other in [SERVFAIL, REFUSED, Says::Silence] {
        let Some(machines) = Machines::new() else { return };
        name_server(&machines, FIRST, other, other);
        name_server(&machines, second, Says::Address, Says::Nothing);
        let mut send = send(&machines, &[FIRST, second]);
        send.expect_exit(1);
        let said = send.stderr();
        // glibc asks a silent one for 5 s before it asks the next.
        let is_found = said.contains("refused the connection");
        assert!(is_found || (other == Says::Silence && said.contains("no name server")), "{other:?}: {said}");
    }
}

#[test]
fn a_name_that_is_not_there_is_not_found_and_a_silent_name_server_is_called_silent() {
    for (says, part) in [
        (NXDOMAIN, "the name relay.example was not found; check its spelling"),
        (SERVFAIL, "was not found: no name server answered"),
        (Says::Silence, "was not found: no name server answered"),
    ] {
        let Some(machines) = Machines::new() else { return };
        name_server(&machines, FIRST, says, says);
        let mut send = send(&machines, &[FIRST]);
        send.expect_exit(1);
        assert!(send.stderr().contains(part) && one_sentence(&send.stderr()), "{says:?}: {}", send.stderr());
        let check = ["lab", "check", "relay.example", "80", "--timeout", "700ms", "--retries", "0"];
        let mut check = with_name_servers(&machines, &[FIRST], &command(check));
        check.expect_exit(3);
    }
}

#[test]
fn a_name_in_local_is_said_to_need_mdns() {
    let Some(machines) = Machines::new() else { return };
    name_server(&machines, FIRST, NXDOMAIN, NXDOMAIN);
    let cases: [(&[&str], i32); 2] = [
        (&["send", "--relay", "pi.local:1", "x", "/dev/null"], 1),
        (&["lab", "talk", "pi.local", "1", "hi", "--retries", "0"], 3),
    ];
    for (arguments, code) in cases {
        let mut process = with_name_servers(&machines, &[FIRST], &command(arguments));
        process.expect_exit(code);
        assert!(process.stderr().contains("names in .local need mDNS"), "{}", process.stderr());
    }
}
