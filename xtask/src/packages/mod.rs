//! `cargo xtask packages`: the Debian packages are what Debian wants, and do on a system what they promise.

mod system;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::{Shell, cmd};

use system::System;

use crate::{
    e2e::{self, in_path},
    exchange::exchange,
    project,
    release::Release,
    report,
    suites::Tally,
    targets::{Runner, Selection, Target},
};

/// Install the Debian packages on a fresh system, start the service, use it, and remove everything again
#[derive(Debug, Args)]
pub(crate) struct Packages {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

impl Packages {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let tally = self.tally(&project::shell()?)?;
        println!("\n{} passed, {} failed, {} not run", tally.passed, tally.failed, tally.skipped);
        Ok(if tally.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Tries every package, and counts the trials.
    ///
    /// # Errors
    /// There is no release.json.
    pub(crate) fn tally(&self, sh: &Shell) -> Result<Tally> {
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let has_package = |target: &&Target| target.debian.is_some();
        let targets: Vec<_> = self.selection.targets().into_iter().filter(has_package).collect();
        let mut tally = Tally::default();
        let mut rows = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 1, targets.len(), target.triple);
            let files = &release.shipped(target.triple)?.files;
            let file = files.iter().find(|sum| sum.file.ends_with(".deb")).context("it has no package")?;
            let package = folder.join(&file.file);
            let mut count = |outcome: Outcome| {
                let (word, one) = match outcome {
                    Outcome::Good(how) => (how, Tally::of_check(true)),
                    Outcome::Failed(why) => (format!("FAILED: {why}"), Tally::of_check(false)),
                    Outcome::NotRun(why) => {
                        (format!("not run: {why}"), Tally { skipped: 1, ..Tally::default() })
                    }
                };
                tally.add(one);
                word
            };
            let linted = count(lint(sh, &package));
            let installed = count(install(sh, target, &package));
            rows.push([file.file.clone(), linted, installed]);
        }
        print!("\n{}", report::table(["package", "lintian", "installed, started, used, removed"], &rows));
        Ok(tally)
    }
}

/// What came of a trial.
enum Outcome {
    Good(String),
    Failed(String),
    NotRun(String),
}

impl Outcome {
    fn of(result: Result<()>, how: &str) -> Self {
        match result {
            Ok(()) => Self::Good(how.to_owned()),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }
}

/// Debian's own judgement; a warning is one as well.
fn lint(sh: &Shell, package: &Path) -> Outcome {
    if in_path("lintian").is_none() {
        return Outcome::NotRun("lintian is not installed".to_owned());
    }
    let lintian = cmd!(sh, "lintian --allow-root --fail-on error,warning {package}").quiet();
    Outcome::of(lintian.run().map_err(|_| anyhow::anyhow!("see above")), "good")
}

/// What an administrator does with a package, from the first day to the last.
fn install(sh: &Shell, target: &'static Target, package: &Path) -> Outcome {
    if let Err(reason) = System::possible(sh) {
        return Outcome::NotRun(format!("{reason:#}"));
    }
    let emulator = match target.runner {
        Runner::Qemu { architecture, cpu } => match e2e::qemu(architecture, cpu) {
            Ok(running) => running.words,
            Err(reason) => return Outcome::NotRun(format!("{reason:#}")),
        },
        _ => vec![],
    };
    let how =
        if emulator.is_empty() { "good".to_owned() } else { format!("good, on {}", emulator.join(" ")) };
    let trial = || {
        let system = System::boot(sh, &emulator)?;
        lifetime(&system, target, package).inspect_err(|_| println!("{}", system.journal()))
    };
    Outcome::of(trial(), &how)
}

const OPTIONS: &str = "/etc/default/tcp-relay";

fn lifetime(system: &System<'_>, target: &Target, package: &Path) -> Result<()> {
    let architecture = target.debian.unwrap_or_default();
    let inside = PathBuf::from("/root").join(package.file_name().context("it is no file")?);
    let inside = inside.to_string_lossy().into_owned();
    system.put(package, &inside)?;
    // That of the system itself is refused by dpkg with a word of its own.
    let _ = system.run(&["dpkg", "--add-architecture", architecture]);
    system.run(&["dpkg", "--install", &inside]).context("installing")?;
    let is_active = || system.run(&["systemctl", "is-active", "tcp-relay"]).is_ok();
    ensure!(!is_active(), "the service was started although nobody asked for it");

    system.emulate("/usr/bin/relay")?;
    system.run(&["systemd-analyze", "verify", "--man=no", "tcp-relay.service"]).context("the unit")?;
    system.run(&["systemctl", "enable", "--now", "tcp-relay"]).context("starting")?;
    system.announced(8080)?;
    exchange((system.address.as_str(), 8080)).context("the service")?;
    let process = system.run(&["systemctl", "show", "--property=MainPID", "--value", "tcp-relay"])?;
    let status = system.run(&["cat", &format!("/proc/{}/status", process.trim())])?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    ensure!(user.is_some_and(|user| user != "0"), "the service runs as root");

    // The administrator's options survive an update, and the service comes back with them.
    system.write(OPTIONS, "RELAY_OPTIONS=\"--listen 0.0.0.0:8081\"\n")?;
    system.run(&["dpkg", "--install", &inside]).context("updating")?;
    ensure!(is_active(), "the service did not survive an update");
    system.announced(8081)?;
    exchange((system.address.as_str(), 8081)).context("the service with changed options")?;

    // It starts with the machine.
    system.run(&["systemctl", "stop", "tcp-relay"])?;
    let ended = system.run(&["systemctl", "show", "--property=Result", "--value", "tcp-relay"])?;
    ensure!(ended.trim() == "success", "asked to stop, the service ended with {}", ended.trim());
    system.restart()?;
    system.announced(8081)?;
    exchange((system.address.as_str(), 8081)).context("the service after a restart of the system")?;

    system.run(&["dpkg", "--remove", "tcp-relay"]).context("removing")?;
    ensure!(!is_active(), "the service runs on without its package");
    let links = system.run(&["find", "/etc/systemd/system", "-name", "tcp-relay.service"])?;
    ensure!(links.is_empty(), "there is still {links}");
    system.run(&["test", "-f", OPTIONS]).context("removing took the options away")?;
    system.run(&["dpkg", "--purge", "tcp-relay"]).context("purging")?;
    ensure!(system.run(&["test", "-e", OPTIONS]).is_err(), "purging left {OPTIONS}");
    Ok(())
}
