//! A Debian of one's own: made by debootstrap, with systemd as its first process, in a container.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::{e2e::in_path, project};

/// The image that systems start from. It is made once and kept.
const BASE: &str = "relay-debian:bookworm";
const NAME: &str = "relay-debian";
/// How long one thing may take: starting under an emulator.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running system, gone when dropped.
#[derive(Debug)]
pub(super) struct System<'a> {
    sh: &'a Shell,
    emulator: &'a [String],
    /// Where it is reached from this machine.
    pub(super) address: String,
}

impl<'a> System<'a> {
    /// # Errors
    /// Why there can be no such system on this machine.
    pub(super) fn possible(sh: &Shell) -> Result<()> {
        ensure!(in_path("docker").is_some(), "needs docker");
        let answers = cmd!(sh, "docker info").quiet().ignore_stdout().ignore_stderr().run();
        answers.context("docker does not answer")?;
        if cmd!(sh, "docker image inspect {BASE}").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
            return Ok(());
        }
        ensure!(in_path("debootstrap").is_some(), "needs debootstrap");
        ensure!(crate::doctor::is_root(sh), "needs root, for debootstrap");
        Ok(())
    }

    /// Starts one. `emulator` is what the packages' programs need before them.
    ///
    /// # Errors
    /// debootstrap or the engine fails, or systemd does not start.
    pub(super) fn boot(sh: &'a Shell, emulator: &'a [String]) -> Result<Self> {
        if cmd!(sh, "docker image inspect {BASE}").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            make_base(sh)?;
        }
        let _ = cmd!(sh, "docker rm --force {NAME}").quiet().ignore_stdout().ignore_stderr().run();
        let mut system = System { sh, emulator, address: String::new() };
        let volumes = match emulator.first() {
            Some(name) => {
                let file = in_path(name).with_context(|| format!("{name} is not installed"))?;
                vec!["--volume".to_owned(), format!("{}:/emulator:ro", file.display())]
            }
            None => vec![],
        };
        // systemd mounts and makes control groups; it is not given the rest of what `--privileged` gives.
        cmd!(sh, "docker run --detach --name {NAME} --cap-add SYS_ADMIN --security-opt seccomp=unconfined")
            .args(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--env", "container=docker"])
            .args(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--stop-signal", "SIGRTMIN+3"])
            .args(volumes)
            .args([BASE, "/lib/systemd/systemd"])
            .quiet()
            .ignore_stdout()
            .run()?;
        system.ready()?;
        Ok(system)
    }

    /// Waits until everything is started, and learns the address.
    fn ready(&mut self) -> Result<()> {
        let sh = self.sh;
        until("the system to start", || self.run(&["systemctl", "is-system-running"]).is_ok())?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.address = cmd!(sh, "docker inspect --format {format} {NAME}").quiet().read()?;
        Ok(())
    }

    /// Switches the system off and on.
    ///
    /// # Errors
    /// It does not come back.
    pub(super) fn restart(&self) -> Result<()> {
        let sh = self.sh;
        cmd!(sh, "docker restart --time 30 {NAME}").quiet().ignore_stdout().run()?;
        until("the system to start", || self.run(&["systemctl", "is-system-running"]).is_ok())
    }

    /// Runs a program inside and gives its output.
    ///
    /// # Errors
    /// It fails, with what it said.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        let sh = self.sh;
        let output = cmd!(sh, "docker exec --env DEBIAN_FRONTEND=noninteractive {NAME}")
            .args(words)
            .quiet()
            .ignore_status()
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed: {}", words.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Copies a file into it.
    ///
    /// # Errors
    /// The engine says why.
    pub(super) fn put(&self, file: &Path, path: &str) -> Result<()> {
        let sh = self.sh;
        cmd!(sh, "docker cp {file} {NAME}:{path}").quiet().ignore_stdout().ignore_stderr().run()?;
        Ok(())
    }

    /// Writes a file in it.
    ///
    /// # Errors
    /// The engine says why.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        self.put(file.path(), path)
    }

    /// Lets the service run on the emulator, where the system's processor cannot run `program`. The emulator writes code while it
    /// runs, which the unit forbids; all the rest of it stays.
    ///
    /// # Errors
    /// The unit is not as expected.
    pub(super) fn emulate(&self, program: &str) -> Result<()> {
        let Some((_, arguments)) = self.emulator.split_first() else { return Ok(()) };
        let unit = self.run(&["cat", "/usr/lib/systemd/system/tcp-relay.service"])?;
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let start =
            start.filter(|start| start.starts_with(program)).context("the unit starts another program")?;
        let changed = format!(
            "[Service]\nMemoryDenyWriteExecute=no\nExecStart=\nExecStart=/emulator {} {start}\n",
            arguments.join(" ")
        );
        self.run(&["mkdir", "--parents", "/etc/systemd/system/tcp-relay.service.d"])?;
        self.write("/etc/systemd/system/tcp-relay.service.d/emulator.conf", &changed)?;
        self.run(&["systemctl", "daemon-reload"])?;
        Ok(())
    }

    /// Waits until the service, as it runs now, says that it listens on that port.
    ///
    /// # Errors
    /// It never does.
    pub(super) fn announced(&self, port: u16) -> Result<()> {
        let line = format!("Listening on 0.0.0.0:{port}");
        until(&line, || {
            let run = self.run(&["systemctl", "show", "--property=InvocationID", "--value", "tcp-relay"]);
            let lines = run.and_then(|run| {
                let of_run = format!("_SYSTEMD_INVOCATION_ID={}", run.trim());
                self.run(&["journalctl", "--no-pager", "--output", "cat", &of_run])
            });
            lines.is_ok_and(|lines| lines.contains(&line))
        })
    }

    /// What the service has written.
    pub(super) fn journal(&self) -> String {
        let words = ["journalctl", "--unit", "tcp-relay", "--no-pager", "--output", "cat"];
        self.run(&words).unwrap_or_else(|error| format!("{error:#}"))
    }
}

impl Drop for System<'_> {
    fn drop(&mut self) {
        let sh = self.sh;
        let _ = cmd!(sh, "docker rm --force {NAME}").quiet().ignore_stdout().ignore_stderr().run();
    }
}

fn make_base(sh: &Shell) -> Result<()> {
    println!("Making the image {BASE} with debootstrap");
    let folder = project::target_dir().join("packages");
    let (root, packed) = (folder.join("root"), folder.join("root.tar"));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&folder)?;
    let packages = "systemd,systemd-sysv,dbus";
    cmd!(sh, "debootstrap --variant=minbase --include={packages} bookworm {root}")
        .quiet()
        .ignore_stdout()
        .run()
        .context("debootstrap failed")?;
    cmd!(sh, "tar --create --file {packed} --directory {root} .").quiet().run()?;
    cmd!(sh, "docker import {packed} {BASE}").quiet().ignore_stdout().run()?;
    fs::remove_dir_all(root)?;
    fs::remove_file(packed)?;
    Ok(())
}

/// Waits for something that gives no event.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            bail!("waited in vain for {what}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
