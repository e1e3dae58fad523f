//! How a program is run on this machine.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use xshell::Shell;

use super::wine;
use crate::{
    exchange::exchange,
    project,
    targets::{Runner, Target},
};

/// A way to run programs of one platform.
#[derive(Debug)]
pub(crate) struct Running {
    /// What goes before the program.
    pub(crate) words: Vec<String>,
    /// What has to be in the environment.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
    /// How many times longer things may take.
    pub(crate) patience: u32,
    /// For people.
    pub(crate) shown: String,
    /// Whether tests fail now and then for a reason that is known and not the program's, so that a few deserve a second try.
    pub(crate) fails_by_itself: bool,
    /// What has to go on meanwhile; it ends with this.
    pub(crate) keeper: Option<Keeper>,
}

/// A process that runs until it is no longer needed.
#[derive(Debug)]
pub(crate) struct Keeper(pub(crate) Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What can be done with a program here.
#[derive(Debug)]
pub(crate) enum Here {
    Run(Running),
    /// Nothing on this kind of machine runs it.
    Inspect,
}

/// How the program of `target` is run on this machine, whose triple is `host`; `folder` is where it lies.
///
/// # Errors
/// The emulator is not installed.
pub(crate) fn here(sh: &Shell, target: &Target, host: &str, folder: &Path) -> Result<Here> {
    if is_native(target.triple, host) {
        return Ok(Here::Run(native("this machine")));
    }
    let program = folder.join(project::program_file(target.triple));
    if let Runner::Qemu { architecture, cpu } = target.runner
        && is_half_of(target.triple, host)
        && Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success())
    {
        // All of the suite on the machine itself; only the emulator knows the oldest processor.
        let floor = qemu(architecture, cpu)?;
        answers_on(&floor, &program).with_context(|| format!("on {}", floor.shown))?;
        return Ok(Here::Run(native(&format!("this machine; starts and answers on {}", floor.shown))));
    }
    match target.runner {
        Runner::Qemu { architecture, cpu } if cfg!(target_os = "linux") => {
            Ok(Here::Run(qemu(architecture, cpu)?))
        }
        Runner::Wine if cfg!(all(target_os = "linux", target_arch = "x86_64")) => {
            Ok(Here::Run(wine::prepare(sh, folder)?))
        }
        _ => Ok(Here::Inspect),
    }
}

fn native(shown: &str) -> Running {
    Running {
        words: vec![],
        variables: vec![],
        patience: 1,
        shown: shown.to_owned(),
        fails_by_itself: false,
        keeper: None,
    }
}

/// Whether a program of that platform is one of 32 bits for the same kind of processor, which the system may run as it is.
fn is_half_of(triple: &str, host: &str) -> bool {
    triple.starts_with("i686-unknown-linux-") && host.starts_with("x86_64-unknown-linux-")
}

/// A relay of this program, run in that way, takes a client.
fn answers_on(running: &Running, program: &Path) -> Result<()> {
    let (first, rest) = running.words.split_first().context("there is no emulator")?;
    let mut command = Command::new(first);
    command.args(rest).arg(program).args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"]);
    let mut relay = Keeper(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().context("it has an output")?).read_line(&mut line)?;
    let address = line.strip_prefix("Listening on ").and_then(|rest| rest.split(';').next());
    exchange(address.with_context(|| format!("it announces {line:?}"))?)
}

/// In a word or two, how the program of `target` is run on a machine with the triple `host`.
pub(crate) fn describe(target: &Target, host: &str) -> String {
    match target.runner {
        _ if is_native(target.triple, host) => "this machine".to_owned(),
        Runner::Qemu { architecture, cpu } if is_half_of(target.triple, host) => {
            format!("this machine, qemu-{architecture} -cpu {cpu}")
        }
        Runner::Qemu { architecture, cpu } if cfg!(target_os = "linux") => {
            format!("qemu-{architecture} -cpu {cpu}")
        }
        Runner::Wine if cfg!(all(target_os = "linux", target_arch = "x86_64")) => "wine".to_owned(),
        _ => "nothing here: inspected".to_owned(),
    }
}

/// Whether a program of that platform runs on that machine as it is: the same processor and the same kind of system, whatever
/// the C library.
pub(crate) fn is_native(triple: &str, host: &str) -> bool {
    let kind =
        |triple: &str| ["-linux-", "-windows-", "-apple-"].iter().position(|kind| triple.contains(kind));
    let processor = |triple: &str| triple.split('-').next().map(str::to_owned);
    processor(triple) == processor(host) && kind(triple) == kind(host)
}

/// The emulator of one architecture, as exactly that processor.
///
/// # Errors
/// It is not installed.
pub(crate) fn qemu(architecture: &str, cpu: &str) -> Result<Running> {
    let program = [format!("qemu-{architecture}-static"), format!("qemu-{architecture}")]
        .into_iter()
        .find(|name| in_path(name).is_some());
    let program = program.with_context(|| {
        format!("qemu-{architecture} is not installed; `cargo xtask doctor --install` or `apt install qemu-user-static` does it")
    })?;
    let words = vec![program, "-cpu".to_owned(), cpu.to_owned()];
    let shown = words.join(" ");
    Ok(Running { words, variables: vec![], patience: 6, shown, fails_by_itself: false, keeper: None })
}

/// Where the shell would find a program.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A folder below the build folder for what running needs.
pub(crate) fn folder(name: &str) -> PathBuf {
    project::target_dir().join("e2e").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_runs_programs_for_its_own_processor_and_system() {
        assert!(is_native("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"));
        assert!(is_native("aarch64-pc-windows-gnullvm", "aarch64-pc-windows-msvc"));
        assert!(is_native("aarch64-apple-darwin", "aarch64-apple-darwin"));
        assert!(!is_native("aarch64-apple-darwin", "x86_64-apple-darwin"));
        assert!(!is_native("x86_64-pc-windows-gnu", "x86_64-unknown-linux-gnu"));
        assert!(is_half_of("i686-unknown-linux-musl", "x86_64-unknown-linux-gnu"));
        assert!(!is_half_of("arm-unknown-linux-musleabihf", "x86_64-unknown-linux-gnu"));
        assert!(
            !is_native("arm-unknown-linux-musleabihf", "armv7-unknown-linux-gnueabihf"),
            "the floor is older"
        );
    }

    #[test]
    fn an_emulator_that_is_missing_is_told_with_what_installs_it() {
        let error = qemu("pdp11", "").unwrap_err().to_string();
        assert!(error.contains("qemu-pdp11") && error.contains("doctor --install"), "{error}");
    }
}
