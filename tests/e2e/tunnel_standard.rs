//! `relay forward NAME -`: standard input and output as the stream.

use crate::harness::{Exposer, Process, Relay, Service, command, echo, pattern};

fn forward_standard(relay: &Relay, name: &str) -> Process {
    Process::spawn(command(["forward", name, "-", "--relay", &relay.address().to_string()]))
}

#[test]
fn standard_input_and_output_can_be_the_stream() {
    let relay = Relay::start();
    let service = Service::start();
    let _exposer = Exposer::start(&relay, "web", service.address());
    let mut forward = forward_standard(&relay, "web");
    forward.write("question");
    let mut local = service.accept();
    local.expect("question");
    local.send("part of ");
    forward.expect_stdout("part of ");
    forward.close_stdin();
    assert_eq!(local.receive_all(), b"");
    local.send("an answer");
    drop(local);
    forward.expect_exit(0);
    assert_eq!((forward.stdout(), forward.stderr()), ("part of an answer".to_owned(), String::new()));
}

#[test]
fn with_standard_input_and_output_bulk_goes_both_ways() {
    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "web", echo());
    let mut forward = forward_standard(&relay, "web");
    let bytes = pattern(16 << 20);
    forward.write(&bytes);
    forward.close_stdin();
    forward.expect_exit(0);
    assert!(forward.stdout_bytes() == bytes);
}

#[test]
fn standard_input_that_stays_open_does_not_hold_up_the_end() {
    let relay = Relay::start();
    let service = Service::start();
    let _exposer = Exposer::start(&relay, "web", service.address());
    let mut forward = forward_standard(&relay, "web");
    let mut local = service.accept();
    local.send("bye");
    drop(local);
    forward.expect_exit(0);
    assert_eq!(forward.stdout(), "bye");
}

#[test]
#[cfg(unix)]
fn with_standard_input_and_output_a_stream_that_breaks_is_a_failure() {
    if crate::harness::is_wine() {
        return crate::harness::not_run("wine does not tell a program that a connection was reset");
    }
    let relay = Relay::start();
    let service = Service::start();
    let _exposer = Exposer::start(&relay, "web", service.address());
    let mut forward = forward_standard(&relay, "web");
    let mut local = service.accept();
    local.send("half of ");
    forward.expect_stdout("half of ");
    local.reset();
    forward.expect_exit(1);
    assert!(forward.stderr().contains("the stream to web broke"), "{}", forward.stderr());
}

#[test]
fn with_standard_input_and_output_an_unknown_service_is_a_sentence() {
    let relay = Relay::start();
    let mut forward = forward_standard(&relay, "nobody");
    forward.expect_exit(1);
    assert!(forward.stderr().contains("nobody exposes nobody at"), "{}", forward.stderr());
    assert_eq!(forward.stdout(), "");
}
