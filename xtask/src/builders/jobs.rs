//! Runs builds at the same time, each quietly: a person sees which are under way, how long each took, and what the compiler had
//! to say.

use std::{
    fs,
    io::{BufRead, BufReader},
    num::NonZero,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{project, report};

/// One build, ready to run.
#[derive(Debug)]
pub(super) struct Job {
    triple: String,
    command: Command,
    program: PathBuf,
    /// A part of a line after which the program is not what was asked for, and why.
    refused: Option<(&'static str, &'static str)>,
}

/// A finished program.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    /// From the start of its build, beside others, to its end.
    pub(crate) took: Duration,
}

impl Built {
    /// The program itself.
    ///
    /// # Errors
    /// The build said that it succeeded, and left nothing.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.program).with_context(|| format!("the build left no {}", self.program.display()))
    }
}

impl Job {
    /// A call of cargo, or of what takes its place, that leaves `program`.
    pub(super) fn new(triple: &str, command: Command, program: PathBuf) -> Self {
        let triple = triple.to_owned();
        Self { triple, command, program, refused: None }
    }

    /// Fails the job for this reason, though it may succeed, if a line of what it says contains `part`.
    pub(super) fn refusing(mut self, part: &'static str, reason: &'static str) -> Self {
        self.refused = Some((part, reason));
        self
    }
}

/// Runs all jobs, as many at a time as there are processors, and gives what they left in the same order. After the first failure
/// none is begun any more; those under way are let finish.
///
/// # Errors
/// One of them failed; what its compiler said was shown.
pub(super) fn run(jobs: Vec<Job>) -> Result<Vec<Built>> {
    run_on(thread::available_parallelism().map_or(1, NonZero::get), jobs)
}

fn run_on(processors: usize, mut jobs: Vec<Job>) -> Result<Vec<Built>> {
    let lanes = processors.min(jobs.len());
    // Together they run about as many compilers as there are processors.
    let compilers = processors.div_ceil(lanes.max(1)).to_string();
    for job in &mut jobs {
        job.command.args(["--jobs", &compilers]);
    }
    let builds = jobs.iter().map(|job| Underway { triple: job.triple.clone(), at: None }).collect();
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let waiting = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        for _ in 0..lanes {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let Some((number, job)) = waiting().next() else { break };
                    tell(&sender, number, What::Begins);
                    let built = job.perform(|line| tell(&sender, number, What::Says(line)));
                    if built.is_err() {
                        waiting().by_ref().for_each(drop);
                    }
                    tell(&sender, number, What::Ends(built));
                }
            });
        }
        drop(sender);
        follow(builds, events)
    })
}

/// What a job does, with its number.
type Event = (usize, What);

enum What {
    Begins,
    Says(String),
    Ends(Result<Built>),
}

fn tell(events: &Sender<Event>, number: usize, what: What) {
    // Whoever shows it listens for as long as a job runs.
    let _ = events.send((number, what));
}

impl Job {
    /// Runs the command to its end.
    fn perform(mut self, mut say: impl FnMut(String)) -> Result<Built> {
        let started = Instant::now();
        let mut refused = None;
        let mut run = || {
            let name = self.command.get_program().to_owned();
            self.command.stdin(Stdio::null()).stderr(Stdio::piped()).env("CARGO_TERM_COLOR", "never");
            let mut child = self.command.spawn().with_context(|| {
                format!(
                    "{} cannot be started; delete target/tools if it lies there, and try again",
                    name.display()
                )
            })?;
            let lines =
                child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n'));
            for line in lines.map_while(std::io::Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                refused = refused.or(self.refused.filter(|(part, _)| line.contains(part)));
                say(line);
            }
            let status = child.wait()?;
            if let Some((_, reason)) = refused {
                bail!(reason);
            }
            ensure!(status.success(), "{} ended with {status}", name.display());
            Ok(())
        };
        run().with_context(|| format!("{} was not built for {}", project::PROGRAM, self.triple))?;
        Ok(Built { program: self.program, took: started.elapsed() })
    }
}

/// One build as it is seen from outside.
struct Underway {
    triple: String,
    /// While it runs: what cargo is at, and what it said beyond that.
    at: Option<(String, Vec<String>)>,
}

/// Shows what the jobs tell, until the last has ended.
fn follow(mut builds: Vec<Underway>, events: Receiver<Event>) -> Result<Vec<Built>> {
    let total = builds.len();
    let mut built: Vec<Option<Built>> = builds.iter().map(|_| None).collect();
    let (mut begun, mut ended, mut failed) = (0, 0, None);
    for (number, what) in events {
        let build = &mut builds[number];
        match what {
            What::Begins => {
                begun += 1;
                build.at = Some(Default::default());
                if total > 1 {
                    report::clear();
                    report::step(begun, total, &build.triple);
                }
            }
            What::Says(line) => {
                if let Some((at, kept)) = &mut build.at {
                    match progress(&line) {
                        Some(now) => *at = now.to_owned(),
                        None => kept.push(line),
                    }
                }
            }
            What::Ends(outcome) => {
                ended += 1;
                report::clear();
                let (_, kept) = build.at.take().unwrap_or_default();
                kept.iter().for_each(|line| eprintln!("{line}"));
                match outcome {
                    Ok(finished) => {
                        println!("  {} built in {}", build.triple, report::duration(finished.took));
                        built[number] = Some(finished);
                    }
                    Err(error) => {
                        println!("  {} FAILED", build.triple);
                        failed = failed.or(Some(error));
                    }
                }
            }
        }
        let under_way = builds.iter().filter_map(|build| Some((&build.triple, &build.at.as_ref()?.0)));
        let under_way: Vec<_> = under_way.map(|(triple, at)| format!("{triple} {at}")).collect();
        report::transient(&format!("  {ended}/{total} ended; {}", under_way.join(", ")));
    }
    report::clear();
    match failed {
        Some(error) => Err(error),
        None => built.into_iter().collect::<Option<_>>().context("a build ended without a word"),
    }
}

/// The first word after the verb of a line with which cargo only says what it is at: the name of a package, mostly.
fn progress(line: &str) -> Option<&str> {
    const VERBS: &[&str] = &[
        "Adding",
        "Blocking",
        "Compiling",
        "Downloaded",
        "Downloading",
        "Finished",
        "Fresh",
        "Locking",
        "Updating",
    ];
    // cargo writes the verbs one below the other, with the same end.
    let (verb, rest) = line.trim_start().split_once(' ')?;
    (line.starts_with(' ') && VERBS.contains(&verb)).then(|| rest.split(' ').next().unwrap_or_default())
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use super::*;

    fn job(triple: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job::new(triple, command, Path::new("/programs").join(triple))
    }

    #[test]
    fn what_was_built_comes_in_the_order_in_which_it_was_asked_for() {
        let jobs = vec![
            job("slow", "sleep 0.2; echo '   Compiling x v1' >&2"),
            job("fast", "true"),
            job("last", "true"),
        ];
        let programs: Vec<_> = run_on(2, jobs).unwrap().into_iter().map(|built| built.program).collect();
        assert_eq!(programs, ["/programs/slow", "/programs/fast", "/programs/last"].map(PathBuf::from));
        assert!(run_on(2, vec![]).unwrap().is_empty());
    }

    #[test]
    fn two_builds_run_at_the_same_time_where_there_are_two_processors() {
        let folder = tempfile::tempdir().unwrap();
        let meeting = |mine: &str, other: &str| {
            let folder = folder.path().display();
            job(
                mine,
                &format!(
                    "touch {folder}/{mine}; for i in $(seq 1000); do [ -e {folder}/{other} ] && exit; sleep 0.02; done; exit 1"
                ),
            )
        };
        assert_eq!(run_on(2, vec![meeting("a", "b"), meeting("b", "a")]).unwrap().len(), 2);
    }

    #[test]
    fn after_a_failure_nothing_more_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("begun");
        let jobs = vec![
            job("broken", "echo 'error: no' >&2; exit 7"),
            job("next", &format!("touch {}", file.display())),
        ];
        let error = format!("{:#}", run_on(1, jobs).unwrap_err());
        assert!(error.contains("broken") && error.contains('7'), "{error}");
        assert!(!file.exists());
    }

    #[test]
    fn what_is_under_way_when_another_build_fails_is_let_finish() {
        let folder = tempfile::tempdir().unwrap();
        let (broken, finished) = (folder.path().join("broken"), folder.path().join("finished"));
        let failing = format!("touch {}; exit 1", broken.display());
        // More than a pipe holds, and only after the other one has failed.
        let long = format!(
            "until [ -e {} ]; do sleep 0.01; done; seq 10000 >&2; touch {}",
            broken.display(),
            finished.display()
        );
        let error =
            format!("{:#}", run_on(2, vec![job("long", &long), job("broken", &failing)]).unwrap_err());
        assert!(error.contains("broken"), "{error}");
        assert!(finished.exists());
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        let missing = Job::new("x", Command::new("/no/such/builder"), PathBuf::new());
        let error = format!("{:#}", run_on(1, vec![missing]).unwrap_err());
        assert!(error.contains("/no/such/builder"), "{error}");
    }

    #[test]
    fn a_build_that_was_not_done_as_asked_is_an_error_though_it_succeeds() {
        let script = "echo 'Falling back to `cargo` on the host.' >&2";
        let jobs = vec![job("x", script).refusing("Falling back", "there was no container")];
        let error = format!("{:#}", run_on(1, jobs).unwrap_err());
        assert!(error.contains("there was no container"), "{error}");
        assert!(run_on(1, vec![job("x", script)]).is_ok());
    }

    #[test]
    fn only_what_says_where_cargo_is_does_not_stay_on_the_screen() {
        assert_eq!(progress("   Compiling tokio v1.45.0"), Some("tokio"));
        assert_eq!(progress("    Finished `release` profile [optimized] target(s) in 1s"), Some("`release`"));
        for line in [
            "Compiling is what I do",
            "warning: unused variable",
            "error: Compiling",
            "",
            "   --> src/main.rs:1:1",
        ] {
            assert_eq!(progress(line), None, "{line}");
        }
    }
}
