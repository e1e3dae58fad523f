//! Commands that print a result: whoever redirects it learns when it could not be written.

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_finds_no_room_on_the_disk_is_a_failure() {
    use std::{fs::File, process::Stdio};

    use crate::{
        clients::one_sentence,
        harness::{LabServer, command, is_linux_process, not_run},
    };

    if !is_linux_process() {
        return not_run("needs a program that writes to a file of this Linux");
    }
    let echo = LabServer::start("echo", &[]);
    let port = echo.port();
    let cases: [(&[&str], i32); 10] = [
        (&["--help"], 1),
        (&["help", "recv"], 1),
        (&["recv", "-h"], 1),
        (&["--version"], 1),
        (&["completions", "bash"], 1),
        (&["man"], 1),
        (&["serve", "--check"], 1),
        (&["lab", "--help"], 1),
        // The lab has a code of its own for it.
        (&["lab", "check", "127.0.0.1", &port], 12),
        (&["lab", "talk", "127.0.0.1", &port, "hi"], 12),
    ];
    for (arguments, code) in cases {
        let mut program = command(arguments);
        // It takes nothing, as a full disk does.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = program.stdout(full).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("cannot write") && one_sentence(last), "{arguments:?}: {said}");
    }
}

#[test]
fn help_and_version_are_results_and_mistakes_are_not() {
    use predicates::prelude::*;

    use crate::harness::relay;

    relay(["--version"]).assert().success().stdout(predicate::str::starts_with("relay ")).stderr("");
    relay(["help", "recv"]).assert().success().stdout(predicate::str::contains("--as <NAME>")).stderr("");
    relay(["dance"]).assert().code(2).stdout("").stderr(predicate::str::contains("dance"));
}
