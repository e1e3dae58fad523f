//! Runs builds at the same time, each quietly: a person sees which are under way, how long each took, and what the compiler had
//! to say.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    num::NonZero,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, SendError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{project, report};

/// One build, ready to run.
#[derive(Debug)]
pub(super) struct Job {
    command: Command,
    build: Underway,
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
        Self { command, build: Underway { triple, program, refused: None, state: State::Waiting } }
    }

    /// Fails the job for this reason, though it may succeed, if a line of what it says contains `part`.
    pub(super) fn refusing(mut self, part: &'static str, reason: &'static str) -> Self {
        self.build.refused = Some((part, reason));
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

fn run_on(processors: usize, jobs: Vec<Job>) -> Result<Vec<Built>> {
    let lanes = processors.min(jobs.len());
    // Together they run about as many compilers as there are processors.
    let compilers = processors.div_ceil(lanes.max(1)).to_string();
    let (mut commands, mut builds) = (Vec::new(), Vec::new());
    for Job { mut command, build } in jobs {
        command.args(["--jobs", &compilers]);
        commands.push(command);
        builds.push(build);
    }
    let waiting = Mutex::new(commands.into_iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        // Without room in it a job begins only when that is seen, and so not after a failure was.
        let (sender, events) = mpsc::sync_channel(0);
        for _ in 0..lanes {
            let sender = sender.clone();
            scope.spawn(move || {
                while let Some((number, command)) = next() {
                    // Nobody listens once a job has failed.
                    if perform(number, command, &sender).is_err() {
                        break;
                    }
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
    Ends(io::Result<ExitStatus>),
}

/// Runs one command to its end and tells of it.
fn perform(number: usize, mut command: Command, events: &SyncSender<Event>) -> Result<(), SendError<Event>> {
    events.send((number, What::Begins))?;
    let mut run = || {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
            let line = String::from_utf8_lossy(&line?).trim_end_matches('\r').to_owned();
            // The command is to finish, whether anybody listens or not.
            let _ = events.send((number, What::Says(line)));
        }
        child.wait()
    };
    events.send((number, What::Ends(run())))
}

/// Shows what the jobs tell, until the last has ended or one has failed.
fn follow(mut builds: Vec<Underway>, events: Receiver<Event>) -> Result<Vec<Built>> {
    let total = builds.len();
    let mut finished = 0;
    for (number, what) in events {
        let build = &mut builds[number];
        match what {
            What::Begins => build.begin(),
            What::Says(line) => build.hear(line),
            What::Ends(ended) => {
                report::clear();
                let took = build.end(ended)?;
                finished += 1;
                println!("  {} built in {}, {finished} of {total}", build.triple, report::duration(took));
            }
        }
        let under_way: Vec<_> = builds.iter().filter_map(Underway::shown).collect();
        report::transient(&format!("  {}", under_way.join(", ")));
    }
    report::clear();
    builds.into_iter().map(Underway::built).collect()
}

/// One build as it is seen from outside.
#[derive(Debug)]
struct Underway {
    triple: String,
    program: PathBuf,
    /// A part of a line after which the program is not what was asked for, and why.
    refused: Option<(&'static str, &'static str)>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Running {
        since: Instant,
        /// What cargo is at.
        at: String,
        /// What it said beyond that.
        kept: Vec<String>,
    },
    Ended(Duration),
}

impl Underway {
    fn begin(&mut self) {
        self.state = State::Running { since: Instant::now(), at: String::new(), kept: Vec::new() };
    }

    fn hear(&mut self, line: String) {
        if let State::Running { at, kept, .. } = &mut self.state {
            match progress(&line) {
                Some(now) => *at = now.to_owned(),
                None => kept.push(line),
            }
        }
    }

    /// Shows what there is to see, and gives how long it took.
    fn end(&mut self, ended: io::Result<ExitStatus>) -> Result<Duration> {
        let State::Running { since, kept, .. } = &self.state else { return Ok(Duration::ZERO) };
        let took = since.elapsed();
        kept.iter().for_each(|line| eprintln!("{line}"));
        let refused =
            self.refused.filter(|(part, _)| kept.iter().any(|line| line.contains(part))).map(|(_, why)| why);
        let outcome = || {
            let status = ended.context("cargo cannot be run")?;
            if let Some(reason) = refused {
                bail!(reason);
            }
            ensure!(status.success(), "its builder ended with {status}");
            Ok(took)
        };
        let outcome =
            outcome().with_context(|| format!("{} was not built for {}", project::PROGRAM, self.triple));
        self.state = State::Ended(took);
        outcome
    }

    /// In a few words, while it runs.
    fn shown(&self) -> Option<String> {
        match &self.state {
            State::Running { at, .. } => Some(format!("{} {at}", self.triple)),
            _ => None,
        }
    }

    fn built(self) -> Result<Built> {
        match self.state {
            State::Ended(took) => Ok(Built { program: self.program, took }),
            _ => Err(anyhow::anyhow!("the build for {} did not run", self.triple)),
        }
    }
}

/// The last word of a line with which cargo only says what it is at: the name of a package, mostly.
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
