//! Link-local addresses, which need the name of the interface they are on: on the loopback of a network of the test's own.

use std::process::Command;

use crate::harness::{command, is_windows, not_run};

/// Runs `script` with the program as `"$@"` where the loopback has the address `fe80::7`. `None` where that is not possible.
fn in_a_network_of_its_own(script: &str) -> Option<std::process::Output> {
    let prepared = "ip link set lo up && ip address add fe80::7/64 dev lo nodad";
    let alone = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]).arg(script).arg("sh");
        command
    };
    if is_windows() || !alone(prepared.to_owned()).output().is_ok_and(|made| made.status.success()) {
        not_run("needs a program for Linux, `ip` and network namespaces");
        return None;
    }
    let program = command(["lab"]);
    let mut script = alone(format!("{prepared} || exit; {script}"));
    script.arg(program.get_program()).args(program.get_args());
    let output = script.output().unwrap();
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some(output)
}

#[test]
fn an_address_with_its_interface_works_for_every_client_and_server() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "content").unwrap();
    let script = format!(
        r#"cd {} || exit
        at() {{ mode=$1 port=$2; shift 2; "$@" serve $mode fe80::7%lo $port > "$mode.out" 2>/dev/null & pids="$pids $!"; }}
        at received 7001 "$@"; at json 7002 "$@"; at 'files --into inbox' 7003 "$@"
        patient='--retries 1000 --retry-delay 20ms'
        "$@" talk fe80::7%lo 7001 hello $patient > talk &&
        "$@" request [fe80::7%1] 7002 7 $patient > request &&
        "$@" upload fe80::7%lo 7003 file $patient &&
        "$@" check fe80::7%lo 7001 > check; code=$?
        kill $pids; wait; exit $code"#,
        dir.path().display()
    );
    let Some(output) = in_a_network_of_its_own(&script) else { return };
    assert!(output.status.success());
    let written = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(written("talk"), "Server received: hello");
    assert!(written("request").contains(r#""received":7"#));
    assert_eq!(written("inbox/file"), "content");
    assert_eq!(written("check").matches(" ok ").count(), 5);
    // For a machine with the other order of bytes the emulator turns round only half of the number that it gives out (seen in 7.2).
    let is_swapped = std::env::var("RELAY_RUNNER").is_ok_and(|runner| runner.contains("qemu-s390x"));
    let number = if is_swapped { 1 << 16 } else { 1 };
    assert_eq!(
        written("received.out").lines().next().unwrap(),
        format!("Listening on [fe80::7%{number}]:7001; try: relay lab talk fe80::7%{number} 7001 hello")
    );
}

#[test]
fn an_address_without_its_interface_is_told_what_it_needs_at_once() {
    for client in ["talk fe80::7 7001 hi", "check fe80::7 7001"] {
        let Some(output) = in_a_network_of_its_own(&format!(r#""$@" {client} --retry-delay 1h"#)) else {
            return;
        };
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6));
        assert!(
            told.ends_with("add the one of this machine that leads there, such as fe80::1%eth0.\n"),
            "{told}"
        );
    }
}

#[test]
fn a_server_on_an_address_without_its_interface_is_told_what_it_needs() {
    let Some(output) = in_a_network_of_its_own(r#""$@" serve echo fe80::7 7001"#) else { return };
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(13));
    assert!(told.contains("such as fe80::1%eth0"), "{told}");
}

#[test]
fn an_interface_that_does_not_exist_is_not_looked_for_in_the_dns() {
    let Some(output) = in_a_network_of_its_own(r#""$@" talk fe80::7%nope 7001 hi --retries 0"#) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(told.contains("check the name of the interface behind the %"), "{told}");
}
