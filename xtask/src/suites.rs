//! Runs test suites of other programs and counts what they say. Lines about tests that passed are not shown (their number is);
//! everything else is.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    num::NonZero,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::report;

/// How many tests did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Not run, by their own decision.
    pub(crate) skipped: u64,
}

impl Tally {
    /// One check that has no tests to count.
    pub(crate) fn of_check(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into(), skipped: 0 }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Whether something ran and nothing failed.
    pub(crate) fn is_green(self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    /// Takes notice of one line of a suite's output.
    fn read(&mut self, line: &str) {
        if let Some(found) = libtest_result(line) {
            self.add(found);
        } else if let Some(ran) = unittest_ran(line) {
            self.passed += ran;
        } else if let Some(not_passed) = unittest_result(line) {
            self.failed += not_passed.failed;
            self.skipped += not_passed.skipped;
            self.passed = self.passed.saturating_sub(not_passed.failed + not_passed.skipped);
        }
    }
}

/// Has the tests of a suite that waits for programs more than it computes run two at a time on each processor, unless the user says
/// otherwise.
pub(crate) fn wait_together(suite: &mut Command) {
    if env::var_os(THREADS).is_none() {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        suite.env(THREADS, (2 * processors).to_string());
    }
}

/// How many tests libtest runs at a time.
const THREADS: &str = "RUST_TEST_THREADS";

/// Which of its streams a suite reports on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportsOn {
    Stdout,
    Stderr,
}

/// Runs a suite to its end. One that fails without naming a failed test (it does not compile, it crashes) counts as one failure.
///
/// # Errors
/// The command cannot be started.
pub(crate) fn run(command: Command, reports_on: ReportsOn, verbose: bool) -> Result<Tally> {
    Ok(run_and_name_failures(command, reports_on, verbose)?.0)
}

/// The same; also gives the names of Rust's tests that failed. There are fewer of them than failures where a suite crashed.
///
/// # Errors
/// The command cannot be started.
pub(crate) fn run_and_name_failures(
    mut command: Command,
    reports_on: ReportsOn,
    verbose: bool,
) -> Result<(Tally, Vec<String>)> {
    let started = Instant::now();
    command.stdin(Stdio::null());
    match reports_on {
        ReportsOn::Stdout => command.stdout(Stdio::piped()),
        ReportsOn::Stderr => command.stderr(Stdio::piped()),
    };
    let description = format!("{}", command.get_program().display());
    let mut child = command.spawn().with_context(|| format!("cannot run {description}"))?;
    let seen = match reports_on {
        ReportsOn::Stdout => child.stdout.take().map(|stream| follow(stream, verbose)),
        ReportsOn::Stderr => child.stderr.take().map(|stream| follow(stream, verbose)),
    };
    let status = child.wait().with_context(|| format!("cannot wait for {description}"))?;
    let (mut tally, failed) = seen.transpose()?.unwrap_or_default();
    if !status.success() && tally.failed == 0 {
        println!("  {description} ended with {status}");
        tally.failed += 1;
    }
    let skipped = if tally.skipped > 0 { format!(", {} skipped", tally.skipped) } else { String::new() };
    let took = report::duration(started.elapsed());
    println!("  {} passed, {} failed{skipped} in {took}", tally.passed, tally.failed);
    Ok((tally, failed))
}

fn follow(stream: impl Read, verbose: bool) -> Result<(Tally, Vec<String>)> {
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let (mut finished, mut suites) = (0, 0_i64);
    for line in BufReader::new(stream).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        tally.read(line);
        failed.extend(failed_test(line).map(str::to_owned));
        suites += i64::from(begins_suite(line)) - i64::from(libtest_result(line).is_some());
        if !verbose && is_routine(line) {
            if let Some(name) = passed_test(line) {
                finished += 1;
                report::transient(&format!("  {finished} passed, last: {name}"));
            }
        } else {
            report::clear();
            println!("  {line}");
        }
    }
    report::clear();
    if suites > 0 {
        println!("  a suite ended in the midst of its tests");
        // Those that were seen to fail are in no result, and how many never ran nobody knows.
        tally.failed += failed.len() as u64 + 1;
    }
    Ok((tally, failed))
}

/// The name in `test NAME ... ok`, and in Python's `name (module.Class.name) ... ok`.
fn passed_test(line: &str) -> Option<&str> {
    let name = line.strip_suffix(" ... ok")?;
    Some(name.strip_prefix("test ").unwrap_or(name))
}

/// The name in `test NAME ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// `running 12 tests`
fn begins_suite(line: &str) -> bool {
    let counts_tests = |rest: &str| rest.ends_with(" test") || rest.ends_with(" tests");
    line.strip_prefix("running ").is_some_and(counts_tests)
}

/// Whether a line says nothing that the summary does not.
fn is_routine(line: &str) -> bool {
    line.is_empty()
        || passed_test(line).is_some()
        || begins_suite(line)
        || line.starts_with("test result: ")
        || line.starts_with("----------")
        || unittest_ran(line).is_some()
        || unittest_result(line).is_some()
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let found = counts.split("; ").find_map(|part| part.strip_suffix(what)?.strip_suffix(' '));
        found.and_then(|number| number.parse().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// `Ran 12 tests in 0.034s`
fn unittest_ran(line: &str) -> Option<u64> {
    let (number, rest) = line.strip_prefix("Ran ")?.split_once(' ')?;
    rest.starts_with("test").then(|| number.parse().ok())?
}

/// `OK`, `OK (skipped=1)`, `FAILED (failures=1, errors=2)`: those that ran and did not pass.
fn unittest_result(line: &str) -> Option<Tally> {
    let details = line.strip_prefix("OK").or_else(|| line.strip_prefix("FAILED"))?;
    if details.is_empty() {
        return Some(Tally::default());
    }
    let details = details.strip_prefix(" (")?.strip_suffix(')')?;
    let mut tally = Tally::default();
    for (what, number) in details.split(", ").filter_map(|part| part.split_once('=')) {
        let number: u64 = number.parse().ok()?;
        match what {
            "failures" | "errors" | "unexpected successes" => tally.failed += number,
            "skipped" => tally.skipped += number,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    fn read(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn several_suites_of_rust_are_summed() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\n\
            test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(read(output), tally(15, 1, 2));
    }

    #[test]
    fn suites_of_python_are_counted() {
        assert_eq!(read("Ran 7 tests in 0.1s\n\nOK"), tally(7, 0, 0));
        assert_eq!(read("Ran 1 test in 0.1s\n\nOK"), tally(1, 0, 0));
        assert_eq!(read("Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)"), tally(3, 3, 1));
        assert_eq!(read("Ran 0 tests in 0.000s\n\nOK"), tally(0, 0, 0));
    }

    #[test]
    fn other_lines_count_nothing_and_are_shown() {
        for line in ["thread 'a' panicked at src/a.rs:1:1:", "Ran out of ideas", "OKAY", "test result"] {
            assert_eq!(read(line), tally(0, 0, 0), "{line}");
            assert!(!is_routine(line), "{line}");
        }
        assert!(is_routine("test relay::works ... ok") && !is_routine("test relay::works ... FAILED"));
    }

    #[test]
    fn nothing_run_is_not_green() {
        assert!(!tally(0, 0, 0).is_green());
        assert!(!tally(5, 1, 0).is_green());
        assert!(tally(5, 0, 1).is_green());
    }

    #[test]
    fn the_tests_that_failed_are_known_by_name() {
        let output = "test a::b ... ok\ntest c::d ... FAILED\ntest e ... ignored\ntest f ... FAILED\n\nfailures:\n    c::d\n    f\n";
        assert_eq!(follow(output.as_bytes(), false).unwrap().1, ["c::d", "f"]);
    }

    #[test]
    fn a_suite_that_ends_without_its_result_has_more_failures_than_names() {
        let whole =
            "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(follow(whole.as_bytes(), false).unwrap(), (tally(1, 0, 0), vec![]));
        let cut = format!("{whole}running 3 tests\ntest b ... ok\ntest c ... FAILED\n");
        assert_eq!(follow(cut.as_bytes(), false).unwrap(), (tally(1, 2, 0), vec!["c".to_owned()]));
    }

    #[cfg(unix)]
    #[test]
    fn a_suite_that_crashes_before_its_first_test_has_failed() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(run(command, ReportsOn::Stdout, false).unwrap(), tally(0, 1, 0));
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'Ran 2 tests in 0.1s' >&2; echo OK >&2"]);
        assert_eq!(run(command, ReportsOn::Stderr, false).unwrap(), tally(2, 0, 0));
    }
}
