//! Every promise of the protocol, kept with Python on both ends: each test is the function of the same name in `python/`.

use std::{collections::BTreeSet, path::Path};

use crate::harness::{Process, Relay, announced, command, python};

const DRIVER: &str = "tests/e2e/python/driver.py";

/// Starts the case against a relay.
fn start(relay: &Relay, case: &str) -> Process {
    Process::spawn(python(DRIVER, [&relay.address().ip().to_string(), &relay.port(), case]))
}

/// Runs the case to its end against a relay with these options, which stays alive to tell what it saw.
fn run(case: &str, options: &[&str]) -> Relay {
    let relay = Relay::with(options);
    start(&relay, case).expect_exit(0);
    relay
}

/// Waits for a line of the log that has all these words, in which `IP` is the address that the clients come from: the relay's own.
fn expect_logged(relay: &Relay, words: &[&str]) {
    let ip = format!("address={}:", relay.address().ip());
    let words: Vec<String> = words.iter().map(|word| word.replace("address=IP:", &ip)).collect();
    relay.logged(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

/// One test for each line: the case, the options of its relay, and what a line of the relay's log is to have meanwhile.
macro_rules! cases {
    ($($case:ident [$($option:literal)*] $(logs $($log:literal)+)?;)*) => {
        $(
            #[test]
            fn $case() {
                let relay = run(stringify!($case), &[$($option),*]);
                $(expect_logged(&relay, &[$($log),+]);)?
                drop(relay);
            }
        )*

        const CASES: &[&str] = &[$(stringify!($case)),*];
    };
}

cases! {
    // Version 1, before the table and row by row.
    a_name_is_registered_without_a_reply [];
    a_name_that_is_taken_disconnects_the_newcomer_at_once [] logs "the name device_a is taken";
    a_name_that_is_not_complete_in_time_disconnects ["--register-timeout=300ms"] logs "did not register in time";
    a_silent_client_is_disconnected_and_the_keepalive_of_the_client_prevents_it ["--idle-timeout=1s"] logs "silent";
    any_split_into_segments_gives_the_same_result [];
    many_frames_in_one_segment_give_the_same_result [];
    a_destination_that_is_not_registered_takes_the_payload_and_the_sender_stays ["--log-level=debug"]
        logs "undeliverable from=device_b to=nobody";
    the_empty_destination_is_one_that_is_not_registered [];
    a_message_to_oneself_is_delivered [];
    a_message_of_length_0_to_oneself_delivers_nothing [];
    a_message_of_length_0_to_another_delivers_nothing_in_raw_delivery [];
    framed_delivery_names_the_sender ["--delivery=framed"];
    a_malformed_length_disconnects_its_sender_only []
        logs "disconnected name=device_b address=IP:" "reason=protocol error: a length with the byte 0x2b";
    an_overlong_header_disconnects_its_sender_only []
        logs "disconnected name=device_b address=IP:" "reason=protocol error: a name longer than 255 bytes";
    messages_of_several_senders_are_whole_and_those_of_one_in_order [];
    a_sender_that_goes_away_inside_a_message_leaves_what_came_in_raw_delivery [];
    a_message_that_was_not_finished_is_never_seen_in_framed_delivery ["--delivery=framed"];
    a_large_raw_message_passes_whole_and_others_wait_for_its_end [];
    a_sender_that_makes_others_wait_and_is_too_slow_is_disconnected ["--min-rate-grace=300ms"]
        logs "it kept a recipient from others";
    a_message_over_the_limit_of_framed_delivery_disconnects_a_version_1_sender
        ["--delivery=framed" "--max-message=1000B"] logs "1001 bytes";
    a_recipient_that_reads_slowly_pauses_its_senders_and_nobody_else ["--queue=64KiB"];
    a_recipient_that_accepts_nothing_is_disconnected_and_its_senders_go_on
        ["--queue=64KiB" "--write-timeout=500ms"] logs "it did not read what was sent to it";
    a_client_that_finishes_sending_is_unregistered_after_its_queue_was_written [];
    the_name_of_a_client_that_closed_is_free_at_once [];
    the_name_of_a_client_that_was_killed_is_free_at_once [];
    names_are_any_bytes [];

    // Version 2.
    a_hello_is_answered_with_the_limits_of_the_relay ["--max-message=2000B" "--idle-timeout=7500ms"];
    messages_have_their_senders_whatever_version_they_speak [];
    names_are_any_text [];
    a_pong_follows_what_the_messages_before_its_ping_led_to [];
    notices_of_what_nobody_received_add_up [];
    a_ping_has_any_unsigned_64_bit_number [];
    notices_keep_their_place_in_the_order [];
    a_name_that_is_taken_is_refused_with_name_taken [];
    a_bad_name_is_refused_with_bad_name [];
    a_bad_hello_is_refused_with_bad_hello [];
    a_bad_frame_instead_of_a_hello_is_refused_with_bad_frame [];
    a_bad_frame_in_the_session_ends_it_with_bad_frame [];
    a_hello_that_is_not_complete_in_time_is_refused_with_timeout ["--register-timeout=300ms"];
    a_silent_session_ends_with_timeout_and_the_pings_of_the_client_prevent_it ["--idle-timeout=1s"];
    a_message_over_max_message_is_refused_and_the_session_goes_on ["--max-message=2000B"];
    an_unknown_verb_is_an_error_and_the_session_goes_on [];
    a_session_that_makes_others_wait_and_is_too_slow_ends_with_too_slow ["--min-rate-grace=300ms"];
    a_session_that_receives_nothing_is_disconnected_and_its_senders_go_on ["--queue=64KiB" "--write-timeout=500ms"];
    a_session_that_is_held_back_by_a_slow_recipient_is_not_given_up ["--queue=64KiB"];
    the_programs_of_the_readme_work [];
}

/// The cases in which the relay is set up in another way or stopped meanwhile, each with a test of its own below.
const SPECIAL: &[&str] = &[
    "a_token_is_proved_and_a_wrong_one_refused",
    "a_relay_that_stops_says_when_to_return",
    "a_relay_that_no_longer_answers_is_given_up",
    "a_client_returns_to_a_relay_that_was_restarted",
];

#[test]
fn a_token_is_proved_and_a_wrong_one_refused() {
    let mut serve = command(["serve", "--listen", "127.0.0.1:0"]);
    serve.env("RELAY_TOKEN", "a-token-of-sixteen-characters");
    let relay = Relay::from_process(Process::spawn(serve), announced);
    start(&relay, SPECIAL[0]).expect_exit(0);
}

#[cfg(unix)]
#[test]
fn a_relay_that_stops_says_when_to_return() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let mut relay = Relay::start();
    let mut case = start(&relay, SPECIAL[1]);
    case.expect_stdout("ready");
    relay.process.signal("TERM");
    case.expect_exit(0);
    relay.process.expect_exit(0);
}

#[cfg(unix)]
#[test]
fn a_relay_that_no_longer_answers_is_given_up() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("the engine does not pass on that the relay is to stand still");
    }
    let relay = Relay::start();
    let mut case = start(&relay, SPECIAL[2]);
    case.expect_stdout("ready");
    // It keeps its port and its connections, and does nothing any more.
    relay.process.signal("STOP");
    case.expect_exit(0);
}

#[test]
fn a_client_returns_to_a_relay_that_was_restarted() {
    let mut relay = Relay::start();
    let address = relay.address().to_string();
    let mut case = start(&relay, SPECIAL[3]);
    case.expect_stdout("ready");
    relay.process.kill();
    case.expect_stdout("lost");
    let _restarted = Relay::listening(&address, &[]);
    case.expect_exit(0);
}

#[test]
fn every_case_has_its_test() {
    let mut list = Process::spawn(python(DRIVER, [Path::new("--list")]));
    list.expect_exit(0);
    let output = list.stdout();
    let cases: BTreeSet<&str> = output.lines().collect();
    assert_eq!(cases, CASES.iter().chain(SPECIAL).copied().collect());
}
