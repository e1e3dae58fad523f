//! `cargo xtask e2e`: the end-to-end suite judges the very programs that are in the archives.

mod runner;
mod wine;

use std::{
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Result, ensure};
use clap::Args;
use xshell::Shell;

use runner::{Here, here};
pub(crate) use runner::{Running, describe, in_path, is_native, qemu};
pub(crate) use wine::program as wine_program;

use crate::{
    files, project,
    release::{self, Release, Shipped, Tests},
    report,
    suites::{self, ReportsOn, Tally},
    targets::{Selection, Target},
    verify::{self, Folders},
};

/// Run the end-to-end suite on every finished archive that this machine can run
#[derive(Debug, Args)]
pub(crate) struct EndToEnd {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Show every test, not only those that fail
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// What came of one platform.
enum Outcome {
    Ran(Tests),
    Inspected,
    Failed(String, u64),
}

impl EndToEnd {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let tally = self.tally(&project::shell()?)?;
        Ok(if tally.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs the suite on everything, and counts its tests; what was only inspected counts as one.
    ///
    /// # Errors
    /// There is no release.json.
    pub(crate) fn tally(&self, sh: &Shell) -> Result<Tally> {
        let mut total = Tally::default();
        let host = project::host_triple(sh)?;
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let targets = self.selection.targets();
        let (mut rows, mut ran, mut inspected, mut failed) = (Vec::new(), 0, Vec::new(), Vec::new());
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 1, targets.len(), target.triple);
            let outcome = release
                .shipped(target.triple)
                .and_then(|shipped| self.judge(sh, &host, target, shipped))
                .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"), 1));
            let said = match outcome {
                Outcome::Ran(tests) => {
                    ran += 1;
                    total.passed += tests.passed;
                    let said = tests.shown();
                    record(&folder, target, tests)?;
                    said
                }
                Outcome::Inspected => {
                    inspected.push(target.triple);
                    total.passed += 1;
                    "inspected only: nothing here runs it".to_owned()
                }
                Outcome::Failed(reason, count) => {
                    total.failed += count;
                    println!("  {reason}");
                    failed.push(target.triple);
                    format!("FAILED: {}", reason.lines().next().unwrap_or_default())
                }
            };
            rows.push([target.triple.to_owned(), said]);
        }
        print!("\n{}\n", report::table(["target", ""], &rows));
        if !failed.is_empty() {
            println!("Failed: {}", failed.join(", "));
        }
        let which = if inspected.is_empty() { String::new() } else { format!(" ({})", inspected.join(", ")) };
        let failures = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
        println!("{} built, {ran} run, {} inspected{which}{failures}", targets.len(), inspected.len());
        Ok(total)
    }

    fn judge(&self, sh: &Shell, host: &str, target: &Target, shipped: &Shipped) -> Result<Outcome> {
        let program = unpack(target, shipped, &self.selection.folder())?;
        let folder = program.parent().unwrap_or(Path::new("."));
        let Here::Run(running) = here(sh, target, host, folder)? else {
            let folders = Folders::of_this_machine(sh)?;
            let problems = verify::shipped(target, shipped, &self.selection.folder(), &folders);
            ensure!(problems.is_empty(), "{}", problems.join("; "));
            return Ok(Outcome::Inspected);
        };
        let fails_by_itself = running.fails_by_itself;
        let mut outcome = suite_on(&program, running, &[], self.verbose)?;
        if let Err(failed) = &outcome
            && fails_by_itself
            && failed.deserve_a_second_try()
            // With a new server: the old one may be what failed.
            && let Here::Run(running) = here(sh, target, host, folder)?
        {
            println!("  the second try of: {}", failed.names.join(", "));
            let again = suite_on(&program, running, &failed.names, self.verbose)?;
            outcome = again.and_then(|again| failed.mended_by(&again));
        }
        Ok(match outcome {
            Ok(tests) => Outcome::Ran(tests),
            Err(Failed { count, .. }) => {
                Outcome::Failed(format!("{count} of the suite's tests failed"), count)
            }
        })
    }
}

/// Tests of the suite that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) count: u64,
    names: Vec<String>,
    /// What came of the others.
    others: Tests,
}

impl Failed {
    /// A crash of the runner fails as many tests as run at a time: one for each processor. More than two crashes are too many, and
    /// where more failed than are known by name the suite itself has ended.
    fn deserve_a_second_try(&self) -> bool {
        let at_a_time = thread::available_parallelism().map_or(1, NonZero::get);
        self.names.len() as u64 == self.count && self.names.len() <= 2 * at_a_time
    }

    /// What came of all, after those that failed were run `again`; if not all of them have passed now, nothing is mended.
    fn mended_by(&self, again: &Tests) -> Result<Tests, Self> {
        if again.passed != self.count {
            return Err(self.clone());
        }
        let passed = self.others.passed + again.passed;
        Ok(Tests { passed, second_try: self.names.clone(), ..self.others.clone() })
    }
}

/// Runs the end-to-end suite on `program`, or of it the tests `only`, if there are any; what came of it, or which tests failed.
///
/// # Errors
/// The suite cannot be started.
pub(crate) fn suite_on(
    program: &Path,
    running: Running,
    only: &[String],
    verbose: bool,
) -> Result<Result<Tests, Failed>> {
    let list = program.with_file_name("not-run.txt");
    let _ = fs::remove_file(&list);
    let mut command = suite();
    if running.words.is_empty() {
        // An emulator computes as much as the tests wait.
        suites::wait_together(&mut command);
    }
    if !only.is_empty() {
        command.arg("--exact").args(only);
    }
    command
        .env("RELAY_BIN", program)
        .env("RELAY_RUNNER", running.words.join(" "))
        .env("RELAY_TEST_PATIENCE", running.patience.to_string())
        .env("RELAY_TEST_NOT_RUN", &list)
        .envs(running.variables);
    let (tally, names) = suites::run_and_name_failures(command, ReportsOn::Stdout, verbose)?;
    drop(running.keeper);
    let not_run = fs::read_to_string(&list).unwrap_or_default();
    not_run.lines().for_each(|line| println!("  not run: {line}"));
    let not_run = not_run.lines().count() as u64;
    let passed = tally.passed.saturating_sub(not_run);
    let tests = Tests { runner: running.shown, passed, not_run, second_try: Vec::new() };
    if tally.failed > 0 || passed == 0 {
        return Ok(Err(Failed { count: tally.failed.max(1), names, others: tests }));
    }
    Ok(Ok(tests))
}

/// The program of the archive, in a folder of its own.
///
/// # Errors
/// The archive is not the one that release.json knows.
pub(crate) fn unpack(target: &Target, shipped: &Shipped, folder: &Path) -> Result<PathBuf> {
    let program = verify::program_of(target, shipped, folder)?;
    let file = runner::folder(target.triple).join(project::program_file(target.triple));
    files::replace(&file, &program, true)?;
    Ok(file)
}

fn suite() -> Command {
    let mut command = Command::new(project::cargo());
    command.args([
        "test",
        "--locked",
        "--quiet",
        "--package",
        project::PACKAGE,
        "--test",
        "*",
        "--no-fail-fast",
    ]);
    // The suite's own lines are counted; with --quiet cargo, but not the suite, would be brief.
    command.args(["--", "--format", "pretty"]).current_dir(project::root());
    command
}

/// Writes what the suite said beside what was shipped, unless that has changed meanwhile.
fn record(folder: &Path, target: &Target, tests: Tests) -> Result<()> {
    let mut release = Release::read(folder)?;
    let mut shipped = release.shipped(target.triple)?.clone();
    shipped.tests = Some(tests);
    release.put(shipped);
    files::replace(&folder.join(release::FILE), release.to_text()?.as_bytes(), false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(count: u64, names: &[&str]) -> Failed {
        let others = Tests { runner: "wine".into(), passed: 7, not_run: 2, second_try: vec![] };
        Failed { count, names: names.iter().map(|&name| name.to_owned()).collect(), others }
    }

    #[test]
    fn only_a_few_tests_that_are_known_by_name_get_a_second_try() {
        assert!(failed(1, &["a"]).deserve_a_second_try());
        assert!(failed(2, &["a", "b"]).deserve_a_second_try());
        assert!(!failed(1000, &["a"; 1000]).deserve_a_second_try());
        // The suite itself ended.
        assert!(!failed(1, &[]).deserve_a_second_try());
        assert!(!failed(2, &["a"]).deserve_a_second_try());
    }

    #[test]
    fn a_second_try_is_said_whenever_it_counts() {
        let again = Tests { runner: "wine".into(), passed: 1, not_run: 0, second_try: vec![] };
        let tests = failed(1, &["a"]).mended_by(&again).unwrap();
        assert_eq!(tests.shown(), "8 passed (at the second try: a), 2 not run, on wine");
        assert_eq!(again.shown(), "1 passed, 0 not run, on wine");
        // One of them was not among those that ran.
        assert!(failed(2, &["a", "b"]).mended_by(&again).is_err());
    }
}
