//! Every option of `relay expose` and `relay forward` does what its help says: each named test fails when the option is ignored.

use std::{collections::BTreeSet, process::Command, thread};

use crate::harness::{
    Exposer, Forwarder, Process, Relay, command, echo, expose_command, is_native, not_run, relay,
};

const BOTH: &[(&str, &str)] = &[
    ("--relay", "a_service_is_reached_by_its_name"),
    ("--retry-for", "retry_for_bounds_the_time_without_a_relay"),
    ("--connect-timeout", "connect_timeout_bounds_the_wait_for_an_answer"),
    ("--token-file", "both_ends_prove_the_token"),
    ("--log-level", "log_level_and_format_are_those_of_every_command"),
    ("--log-format", "log_level_and_format_are_those_of_every_command"),
];

const EXPOSE: &[(&str, &str)] = &[
    ("--config", "a_file_has_several_services_and_the_options"),
    ("--owner-file", "another_program_of_the_same_owner_takes_the_service_over"),
    ("--ready", "ready_bounds_the_connections_that_wait_for_visitors"),
    ("--port", "a_public_port_is_the_one_that_was_asked_for_or_any_that_is_free"),
    ("--proxy-protocol", "proxy_protocol_tells_the_service_the_address_of_a_visitor"),
];

#[test]
fn every_option_of_both_ends_has_a_test() {
    let sources = [
        include_str!("tunnel.rs"),
        include_str!("tunnel_faults.rs"),
        include_str!("tunnel_file.rs"),
        include_str!("tunnel_options.rs"),
        include_str!("tunnel_reconnect.rs"),
    ];
    for (command, own) in [("expose", EXPOSE), ("forward", &[])] {
        let output = relay([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let words =
            help.lines().filter_map(|line| line.trim_start().split(' ').find(|w| w.starts_with("--")));
        let options: BTreeSet<&str> = words.filter(|word| *word != "--help").collect();
        let tested: BTreeSet<&str> = BOTH.iter().chain(own).map(|(option, _)| *option).collect();
        assert_eq!(options, tested, "{command}");
        for (option, test) in BOTH.iter().chain(own) {
            let exists = sources.iter().any(|source| source.contains(&format!("fn {test}()")));
            assert!(exists, "{option} names the test {test}, which does not exist");
        }
    }
}

/// Whether the test passes with a program that is not given the command's option.
#[cfg(target_os = "linux")]
fn passes_without(command: &str, option: &str, test: &str) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/python/strip_option.py");
    let mut run = Command::new(std::env::current_exe().unwrap());
    run.env("RELAY_RUNNER", format!("python3 {script} {command} {option}"));
    // Most then wait in vain for something, as long as they may.
    let output = run.arg(test).env("RELAY_TEST_DEADLINE", "6").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test\n"), "{test} is no single test:\n{text}");
    output.status.success()
}

#[test]
#[cfg(target_os = "linux")]
fn no_option_can_be_taken_away_without_a_test_that_notices() {
    if !is_native() || env!("CARGO_MANIFEST_DIR").contains(' ') {
        return not_run("needs the native program, and a path that is one word");
    }
    thread::scope(|scope| {
        for (command, own) in [("expose", EXPOSE), ("forward", &[])] {
            for (option, test) in BOTH.iter().chain(own) {
                scope.spawn(move || {
                    let passes = passes_without(command, option, test);
                    assert!(!passes, "{test} passes without {option} of {command}");
                });
            }
        }
    });
}

#[test]
fn log_level_and_format_are_those_of_every_command() {
    let server = Relay::start();
    let address = echo().to_string();
    let quiet = Exposer::with(&server, ["quiet", &address, "--log-level", "warn"]);
    let loud = Exposer::with(&server, ["loud", &address, "--log-level", "debug"]);
    let json = Exposer::with(&server, ["json", &address, "--log-format", "json"]);
    let forwarder = Forwarder::with(&server, "loud", &["--log-level", "debug", "--log-format", "json"]);
    let mut visitor = forwarder.connect();
    visitor.send("hello");
    visitor.expect("hello");
    drop(visitor);
    loud.logged(&["DEBUG", "stream", "service=loud", "visitor="]);
    forwarder.logged(&[r#""message":"stream ended""#, r#""sent":5"#]);
    assert_eq!(quiet.process.stderr(), "");
    let line: serde_json::Value =
        serde_json::from_str(json.process.stderr().lines().next().unwrap()).unwrap();
    assert_eq!((&line["message"], &line["service"]), (&"exposed".into(), &"json".into()), "{line}");
}

#[test]
fn the_relay_may_be_named_in_the_environment() {
    let server = Relay::start();
    let address = echo().to_string();
    let mut expose = command(["expose", "web", &address]);
    expose.env("RELAY_ADDR", server.address().to_string());
    Process::spawn(expose).expect_stdout(" is reached ");
    relay(["expose", "web", &address]).assert().code(2).stderr(predicates::str::contains("--relay"));
    let wrong = Process::spawn(expose_command(([127, 0, 0, 1], 1).into(), ["web", &address]));
    wrong.expect_stderr("not exposed for now");
}
