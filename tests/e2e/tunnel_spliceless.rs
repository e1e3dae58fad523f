//! Systems on which bytes cannot be spliced (gVisor, a container's seccomp profile, old kernels): bulk is copied and arrives whole.

use std::{
    io::{Read, Write},
    process::Command,
    thread,
};

use crate::harness::{
    Exposer, Process, Relay, Socket, announced, command, echo, expose_command, free_ports, is_linux_process,
    not_run, pattern, python,
};

/// The program for which these calls fail, where this machine can do that.
fn without(calls: &str, program: &Command) -> Option<Process> {
    let without = |program: &Command| {
        let mut command = python("tests/e2e/python/without_calls.py", [calls]);
        command.arg(program.get_program()).args(program.get_args()).env_remove("RELAY_LOG");
        command
    };
    let works = || without(&Command::new("true")).status().is_ok_and(|status| status.success());
    if !is_linux_process() || !works() {
        not_run("needs a process of this Linux and seccomp");
        return None;
    }
    Some(Process::spawn(without(program)))
}

/// Sends bulk there and back through a relay and an exposer without these calls.
fn bulk_goes_both_ways_without(calls: &str) {
    let port = free_ports(1);
    let range = format!("{}-{}", port.start(), port.end());
    let serve =
        command(["serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--public-ports", &range]);
    let Some(relay) = without(calls, &serve) else { return };
    let relay = Relay::from_process(relay, announced);
    let expose = expose_command(relay.address(), ["web", &echo().to_string(), "--port", "0"]);
    let exposer = Exposer { process: without(calls, &expose).unwrap() };
    let visitor = Socket::connect(exposer.public("web"));
    let bytes = pattern(24 << 20);
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            (&visitor.0).write_all(&bytes).unwrap();
            visitor.shutdown_write();
        });
        let mut received = Vec::new();
        (&visitor.0).read_to_end(&mut received).unwrap_or_else(|error| panic!("{calls}: {error}"));
        received
    });
    assert!(received == bytes, "{calls}: {} of {} bytes", received.len(), bytes.len());
    relay.logged(&["the system does not splice"]);
}

#[test]
fn without_splice_bulk_is_copied() {
    for error in ["ENOSYS", "EPERM", "EINVAL"] {
        bulk_goes_both_ways_without(&format!("splice={error}"));
    }
}

#[test]
fn what_is_in_a_pipe_when_splice_fails_is_not_lost() {
    for error in ["ENOSYS", "EPERM", "EINVAL"] {
        bulk_goes_both_ways_without(&format!("splice-of-less={error}"));
    }
}
