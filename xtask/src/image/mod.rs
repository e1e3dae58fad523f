//! `cargo xtask image`: the container image of all platforms, made of the finished archives and tried as people run it.

mod build;
mod engine;
mod inside;

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use xshell::{Shell, cmd};

use build::Images;
use engine::{Engine, Network};
pub(crate) use inside::InContainer;

use crate::{
    e2e::{self, Running},
    exchange::exchange,
    project,
    release::{Release, Shipped},
    report,
    suites::Tally,
    targets::{Runner, Selection, Target},
};

/// Build the container image of all platforms from the finished archives, and run the end-to-end suite on it
#[derive(Debug, Args)]
pub(crate) struct Image {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Push it to a registry under this name, such as ghcr.io/OWNER/tcp-relay:0.1.0, after it was tried
    #[arg(long, value_name = "NAME")]
    pub(crate) publish: Option<String>,

    /// Run the whole suite on emulated platforms as well; otherwise they only have to start and answer
    #[arg(long)]
    pub(crate) all: bool,

    /// Show every test, not only those that fail
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

impl Image {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let tally = self.tally(&project::shell()?)?;
        Ok(if tally.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Builds and tries the images, and counts what was tried.
    ///
    /// # Errors
    /// A tool is missing, or an image cannot be built.
    pub(crate) fn tally(&self, sh: &Shell) -> Result<Tally> {
        let engine = Engine::find(sh)?;
        let images = Images::none(sh)?;
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let targets: Vec<_> =
            self.selection.targets().into_iter().filter(|target| target.container.is_some()).collect();
        let network = engine.network("relay-e2e")?;
        let (mut total, mut rows) = (Tally::default(), Vec::new());
        for (index, target) in targets.iter().enumerate() {
            let platform = target.container.unwrap_or_default();
            report::step(index + 1, targets.len(), platform);
            let shipped = release.shipped(target.triple)?;
            let tag = tag(platform);
            let id = images.build(target, shipped, &folder)?;
            images.hand_over(&id, &tag)?;
            let trial = Trial { engine: &engine, network: &network, target, tag: &tag };
            let said = match trial.basics(shipped).and_then(|()| self.suite(&trial, shipped, &folder)) {
                Ok((tally, said)) => {
                    total.add(tally);
                    said
                }
                Err(error) => {
                    total.add(Tally::of_check(false));
                    format!("FAILED: {error:#}")
                }
            };
            rows.push([platform.to_owned(), tag, said]);
        }
        let file = images.save()?;
        print!("\n{}\n", report::table(["platform", "image", ""], &rows));
        println!("{} images, {} failed, in {}", rows.len(), total.failed, project::shown(&file));
        if let Some(name) = &self.publish {
            ensure!(total.is_green(), "an image that failed is not published");
            images.publish(name)?;
            println!("Published as {name}");
        }
        Ok(total)
    }

    /// The suite, where it is to be run.
    fn suite(&self, trial: &Trial<'_>, shipped: &Shipped, folder: &Path) -> Result<(Tally, String)> {
        let basics = Tally::of_check(true);
        let emulator = trial.emulator()?;
        if !emulator.is_empty() && !self.all {
            return Ok((basics, format!("starts and answers, on {}", emulator.join(" "))));
        }
        let program = e2e::unpack(trial.target, shipped, folder)?;
        let xtask = env::current_exe()?;
        let variable = |text: &str| PathBuf::from(text);
        let running = Running {
            words: vec![xtask.to_string_lossy().into_owned(), "in-container".to_owned()],
            variables: vec![
                (inside::IMAGE, variable(trial.tag)),
                (inside::NETWORK, variable(&trial.network.name)),
                (inside::GATEWAY, variable(&trial.network.gateway)),
                (inside::EMULATOR, variable(&emulator.join(" "))),
            ],
            // Each relay is a container: it takes a second to start.
            patience: if emulator.is_empty() { 3 } else { 8 },
            fails_by_itself: false,
            keeper: None,
            shown: [&["docker".to_owned()], emulator.as_slice()].concat().join(" "),
        };
        match e2e::suite_on(&program, running, &[], self.verbose)? {
            Ok(tests) => {
                Ok((Tally { passed: tests.passed, failed: 0, skipped: tests.not_run }, tests.shown()))
            }
            Err(failed) => bail!("{} of the suite's tests failed", failed.count),
        }
    }
}

/// The name of the image of one platform.
fn tag(platform: &str) -> String {
    let architecture = platform.trim_start_matches("linux/").replace('/', "-");
    format!("{}:{}-{architecture}", project::PACKAGE, project::VERSION)
}

/// One image on the engine.
struct Trial<'a> {
    engine: &'a Engine<'a>,
    network: &'a Network<'a>,
    target: &'static Target,
    tag: &'a str,
}

impl Trial<'_> {
    /// What goes before the program in the container.
    fn emulator(&self) -> Result<Vec<String>> {
        match self.target.runner {
            Runner::Qemu { architecture, cpu } => Ok(e2e::qemu(architecture, cpu)?.words),
            _ => Ok(vec![]),
        }
    }

    /// The image is for its platform, holds the published program and nothing else, and run as the documentation says it
    /// answers at its published port and ends when it is asked to.
    fn basics(&self, shipped: &Shipped) -> Result<()> {
        let known = self.engine.inspect(self.tag)?;
        let field = |name: &str| known[name].as_str().unwrap_or_default().to_owned();
        let mut platform = format!("{}/{}", field("Os"), field("Architecture"));
        if !field("Variant").is_empty() && field("Architecture") == "arm" {
            platform = format!("{platform}/{}", field("Variant"));
        }
        ensure!(Some(platform.as_str()) == self.target.container, "it is for {platform}");
        let files = self.engine.files(self.tag)?;
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        ensure!(names == ["relay"], "there are other files in it: {names:?}");
        let sum = crate::checksum::sha256(&files["relay"]);
        ensure!(sum == shipped.program.sum.sha256, "its program is not the published one");
        let mut container = Container::start(self)?;
        let answers = container.answers();
        let stopped = container.stop();
        if answers.is_err() || stopped.is_err() {
            println!("{}", container.log());
        }
        answers.and(stopped)
    }
}

/// A relay in a container, as documentation says: nothing may be written, nothing special may be done.
struct Container<'a> {
    trial: &'a Trial<'a>,
    process: Child,
}

const NAME: &str = "relay-e2e-basics";

impl<'a> Container<'a> {
    fn start(trial: &'a Trial<'a>) -> Result<Self> {
        let mut docker = Command::new("docker");
        let platform = trial.target.container.unwrap_or_default();
        docker.args(["run", "--rm", "--name", NAME, "--network", &trial.network.name, "--pull", "never"]);
        docker.args(["--log-driver", "none", "--platform", platform]);
        docker.args(["--read-only", "--cap-drop", "ALL", "--publish"]);
        docker.arg(format!("{}::8080", trial.network.gateway));
        let emulator = trial.emulator()?;
        if let Some((name, arguments)) = emulator.split_first() {
            let file = e2e::in_path(name).context("the emulator is gone")?;
            docker.args(["--volume", &format!("{}:/emulator:ro", file.display())]);
            docker.args(["--entrypoint", "/emulator", trial.tag]).args(arguments).arg("/relay");
            // An entry point of one's own takes the place of the command as well.
            docker.args(["serve", "--listen", "0.0.0.0:8080"]);
        } else {
            docker.arg(trial.tag);
        }
        let process = docker.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { trial, process })
    }

    /// Waits for the announcement, then registers and writes to itself.
    fn answers(&mut self) -> Result<()> {
        let mut output = BufReader::new(self.process.stdout.take().context("it has an output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.starts_with("Listening on 0.0.0.0:8080"), "it announces {line:?}");
        let sh = self.trial.engine.sh();
        let address = cmd!(sh, "docker port {NAME} 8080").quiet().read()?;
        let address = address.lines().next().context("its port is not published")?;
        exchange(address).context("at its published port")
    }

    fn log(&mut self) -> String {
        let mut text = String::new();
        let _ = self.process.kill();
        if let Some(mut stderr) = self.process.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }

    fn stop(&mut self) -> Result<()> {
        let sh = self.trial.engine.sh();
        cmd!(sh, "docker stop --time 20 {NAME}").quiet().ignore_stdout().run()?;
        let status = self.process.wait()?;
        ensure!(status.success(), "asked to stop, it ended with {status}");
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_a_name_of_its_own() {
        assert_eq!(tag("linux/amd64"), format!("tcp-relay:{}-amd64", project::VERSION));
        assert_eq!(tag("linux/arm/v6"), format!("tcp-relay:{}-arm-v6", project::VERSION));
    }
}
