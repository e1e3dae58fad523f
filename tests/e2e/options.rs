//! Every option of `relay serve` does what its help says: each test fails when the option is ignored.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use predicates::prelude::*;

use crate::harness::{Relay, Socket, frame, measured, pattern, relay};

/// Where each option is tested. A new option without a line here fails the test below.
const TESTED: &[(&str, &str)] = &[
    ("--listen", "a_port_alone_listens_on_all_addresses"),
    ("--public-ports", "public_ports_are_those_the_operator_gives_away"),
    ("--open-timeout", "open_timeout_is_how_long_a_visitor_waits_for_the_service"),
    ("--delivery", "delivery_chooses_what_version_1_receives"),
    ("--config", "a_file_has_every_option_under_its_own_name"),
    ("--check", "check_prints_what_would_be_used_and_where_it_is_from"),
    ("--token-file", "the_token_may_be_in_a_file_which_counts_more_than_the_environment"),
    ("--allow-v1", "version_1_is_refused_where_there_is_a_token_unless_allowed"),
    ("--allow", "allow_takes_connections_from_these_addresses_only"),
    ("--deny", "deny_takes_no_connections_from_these_addresses"),
    ("--max-connections", "max_connections_turns_the_next_away_until_one_leaves"),
    ("--max-connections-per-address", "max_connections_per_address_leaves_room_for_other_addresses"),
    ("--max-streams-per-service", "max_streams_per_service_refuses_the_next_visitor"),
    ("--new-connections-per-second", "new_connections_per_second_is_a_rate_for_each_address"),
    ("--register-timeout", "register_timeout_cuts_who_does_not_register"),
    ("--idle-timeout", "idle_timeout_cuts_who_is_silent"),
    ("--write-timeout", "write_timeout_cuts_who_reads_nothing"),
    ("--drain-timeout", "a_client_that_reads_nothing_delays_the_end_by_the_drain_timeout_at_most"),
    ("--keepalive", "keepalive_is_set_on_the_socket_and_the_systems_own_user_timeout_is_not"),
    ("--keepalive-interval", "keepalive_is_set_on_the_socket_and_the_systems_own_user_timeout_is_not"),
    ("--keepalive-probes", "keepalive_is_set_on_the_socket_and_the_systems_own_user_timeout_is_not"),
    ("--user-timeout", "user_timeout_frees_the_name_of_a_client_that_acknowledges_nothing"),
    ("--queue", "queue_holds_as_much_as_it_says_before_a_sender_is_paused"),
    ("--queue-extra", "queue_extra_is_lent_to_a_recipient_that_needs_it"),
    ("--max-message", "max_message_is_the_limit_of_version_2"),
    ("--stream-above", "stream_above_decides_what_is_passed_on_in_pieces"),
    ("--min-rate", "min_rate_cuts_a_sender_that_is_slower"),
    ("--min-rate-grace", "min_rate_grace_is_how_long_others_wait"),
    ("--backlog", "backlog_is_given_to_the_system"),
    ("--read-buffer", "read_buffer_is_what_a_worker_reads_into"),
    ("--spin", "spin_keeps_a_worker_awake_after_a_short_message"),
    ("--workers", "workers_are_threads"),
    ("--log-level", "log_level_decides_what_is_logged"),
    ("--log-format", "with_json_logs_the_announcement_and_every_line_of_the_log_are_json"),
];

#[test]
fn every_option_has_a_test() {
    let output = relay(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let words =
        help.lines().filter_map(|line| line.trim_start().split(' ').find(|word| word.starts_with("--")));
    let options: BTreeSet<&str> = words.filter(|word| *word != "--help").collect();
    let tested: BTreeSet<&str> = TESTED.iter().map(|(option, _)| *option).collect();
    assert_eq!(options, tested);
    let sources = [
        include_str!("access.rs"),
        include_str!("config_file.rs"),
        include_str!("limits.rs"),
        include_str!("options.rs"),
        include_str!("operations.rs"),
        include_str!("stopping.rs"),
        include_str!("system.rs"),
        include_str!("dead_peer.rs"),
        include_str!("tunnel_wire.rs"),
    ];
    for (option, test) in TESTED {
        let exists = sources.iter().any(|source| source.contains(&format!("fn {test}()")));
        assert!(exists, "{option} names the test {test}, which does not exist");
    }
}

#[test]
fn a_port_alone_listens_on_all_addresses() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("a relay in a container announces addresses of the container");
    }
    let relay = Relay::listening("0", &[]);
    assert!(relay.address().ip().is_unspecified(), "{}", relay.address());
    Socket::connect(([127, 0, 0, 1], relay.address().port()).into()).register(b"a");
}

#[test]
fn delivery_chooses_what_version_1_receives() {
    for (delivery, wanted) in [("raw", "hello"), ("framed", "self|5|hello")] {
        let relay = Relay::with(&["--delivery", delivery]);
        let mut client = relay.connect();
        client.send("self|self|5|hello");
        client.expect(wanted);
    }
}

/// Requires that `action` ends neither before `least` nor as late as the default would have it.
fn takes(least: Duration, default: Duration, mut action: impl FnMut()) {
    measured(least, default, || {
        let since = Instant::now();
        action();
        since.elapsed()
    });
}

#[test]
fn register_timeout_cuts_who_does_not_register() {
    let relay = Relay::with(&["--register-timeout", "400ms"]);
    takes(Duration::from_millis(400), Duration::from_secs(3), || relay.connect().expect_closed());
    relay.process.expect_stderr("it did not register in time");
}

#[test]
fn idle_timeout_cuts_who_is_silent() {
    let relay = Relay::with(&["--idle-timeout", "400ms"]);
    takes(Duration::from_millis(400), Duration::from_secs(30), || relay.client("silent").expect_closed());
    relay.process.expect_stderr("it was silent for too long");
}

#[test]
fn write_timeout_cuts_who_reads_nothing() {
    let relay = Relay::with(&["--write-timeout", "500ms"]);
    let cuts = || relay.process.stderr().matches("it did not read what was sent to it").count();
    let mut sender = relay.client("sender");
    takes(Duration::from_millis(500), Duration::from_secs(10), || {
        let stuck = relay.client("stuck");
        let before = cuts();
        // Only the end of the stuck client lets more through than the buffers hold.
        while cuts() == before {
            sender.send_to("stuck", [b'x'; 60_000]);
        }
        drop(stuck);
    });
    sender.sync(b"sender");
}

#[test]
fn queue_holds_as_much_as_it_says_before_a_sender_is_paused() {
    holds_48_megabytes(&["--queue", "64MiB", "--queue-extra", "0B"]);
}

#[test]
fn queue_extra_is_lent_to_a_recipient_that_needs_it() {
    // Its own share and three times as much.
    holds_48_megabytes(&["--queue", "16MiB", "--queue-extra", "1GiB"]);
}

/// So much goes to a recipient that reads nothing, and the sender is not paused.
fn holds_48_megabytes(options: &[&str]) {
    let relay = Relay::with(&[options, &["--write-timeout", "1h"]].concat());
    let mut reader = relay.client("reader");
    let mut sender = relay.client("sender");
    let payload = pattern(60_000);
    // Far more than the default queue and all socket buffers; the recipient reads nothing.
    let messages = 800;
    for _ in 0..messages {
        sender.send_to("reader", &payload);
    }
    sender.sync(b"sender");
    assert!(reader.receive(messages * payload.len()) == payload.repeat(messages));
}

#[test]
fn max_message_is_the_limit_of_version_2() {
    let relay = Relay::with(&["--max-message", "100B"]);
    let mut client = relay.connect();
    client.send(frame(b"", br#"{"hello":2,"register":"client"}"#));
    assert_eq!(client.control()["max_message"], 100);
    client.send_to("client", [b'x'; 100]);
    client.expect(frame(b"client", &[b'x'; 100]));
    client.send_to("client", [b'x'; 101]);
    assert_eq!(client.control()["error"]["code"], "too_large");
}

#[test]
fn stream_above_decides_what_is_passed_on_in_pieces() {
    let relay = Relay::with(&["--stream-above", "100B"]);
    let mut to = relay.client("to");
    let mut large = relay.client("large");
    let mut other = relay.client("other");
    // At the limit a message is collected: others come first.
    large.send("to|100|0123456789");
    large.send([b'-'; 80]);
    other.send_to("to", "before");
    to.expect("before");
    large.send("0123456789");
    to.expect([b"0123456789", &[b'-'; 80][..], b"0123456789"].concat());
    // Above it is not.
    large.send("to|101|0123456789");
    to.expect("0123456789");
}

#[test]
fn min_rate_cuts_a_sender_that_is_slower() {
    let relay = Relay::with(&["--min-rate", "1GiB", "--min-rate-grace", "300ms"]);
    let mut to = relay.client("to");
    let mut slow = relay.client("slow");
    let mut waiting = relay.client("waiting");
    slow.send("to|1000000000000|x");
    to.expect("x");
    waiting.send_to("to", "at last");
    // It keeps far more than the default rate all the time, in step with its recipient.
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < *crate::harness::DEADLINE, "the slow sender was never cut");
        slow.send([b'-'; 1000]);
        let first = to.receive(1)[0];
        if first == b'a' {
            to.expect("t last");
            break;
        }
        // The end of the sender may cut a piece short.
        let mut piece = 1;
        while piece < 1000 {
            let byte = to.receive(1)[0];
            if byte == b'a' {
                return to.expect("t last");
            }
            piece += 1;
        }
    }
    relay.process.expect_stderr("sent too slowly");
}

#[test]
fn min_rate_grace_is_how_long_others_wait() {
    let relay = Relay::with(&["--min-rate-grace", "400ms"]);
    let mut to = relay.client("to");
    let mut waiting = relay.client("waiting");
    takes(Duration::from_millis(400), Duration::from_secs(10), || {
        let mut slow = relay.client("slow");
        slow.send("to|1000000|part");
        to.expect("part");
        waiting.send_to("to", "at last");
        to.expect("at last");
        slow.expect_closed();
    });
}

#[test]
fn log_level_decides_what_is_logged() {
    for (arguments, variable, joined, undeliverable) in [
        (&[][..], None, true, false),
        (&["--log-level", "off"], None, false, false),
        (&["--log-level", "warn"], None, false, false),
        (&["--log-level", "debug"], None, true, true),
        (&[], Some("debug"), true, true),
        (&[], Some("warn"), false, false),
        // What is written on the command line counts more.
        (&["--log-level", "debug"], Some("off"), true, true),
    ] {
        let mut command =
            crate::harness::command(["serve", "--listen", "127.0.0.1:0"].iter().chain(arguments));
        if let Some(level) = variable {
            command.env("RELAY_LOG", level);
        }
        let relay = Relay::from_process(crate::harness::Process::spawn(command), crate::harness::announced);
        let mut client = relay.client("somebody");
        client.send_to("nobody", "lost");
        client.sync(b"somebody");
        let log = relay.log_at_end();
        let context = format!("{arguments:?} RELAY_LOG={variable:?}: {log}");
        assert_eq!(log.contains("joined"), joined, "{context}");
        assert_eq!(log.contains("undeliverable"), undeliverable, "{context}");
        assert!(arguments != ["--log-level", "off"] || log.is_empty(), "{context}");
    }
}

#[test]
fn the_help_gives_every_default() {
    let defaults =
        ["3s", "30s", "10s", "5s", "14s", "1MiB", "16MiB", "64KiB", "1KiB", "65535", "512KiB", "50us"];
    let all = predicate::function(|text: &str| {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        defaults.iter().all(|default| words.contains(&format!("[default: {default}]")))
    });
    relay(["serve", "--help"]).assert().success().stdout(all);
}
