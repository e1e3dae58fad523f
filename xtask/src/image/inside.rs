//! `cargo xtask in-container`: the runner with which the end-to-end suite judges an image. It stands before the program as an
//! emulator does. A relay (`serve`) it starts in a container, its ports published on this machine, and says in the
//! announcement where they are; every other command runs outside, as clients do.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;

/// The image, its network, this machine's address in it, and what its programs need before them.
pub(super) const IMAGE: &str = "RELAY_IMAGE";
pub(super) const NETWORK: &str = "RELAY_IMAGE_NETWORK";
pub(super) const GATEWAY: &str = "RELAY_IMAGE_GATEWAY";
pub(super) const EMULATOR: &str = "RELAY_IMAGE_EMULATOR";

/// What the relay may take from its environment.
const PASSED: &[&str] = &["RELAY_TOKEN", "RELAY_LOG"];
/// Where it listens inside: one port for each address it is given.
const FIRST_PORT: u16 = 18_000;

/// Run a program, and if it is a relay, the one in a container
#[derive(Debug, Args)]
pub(crate) struct InContainer {
    /// Correct the announcement on standard input, and remove the container at its end
    #[arg(long, value_name = "CONTAINER", hide = true)]
    follow: Option<String>,

    /// A port inside and the address that leads to it
    #[arg(long, value_name = "PORT=ADDRESS", hide = true)]
    published: Vec<String>,

    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl InContainer {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match &self.follow {
            Some(container) => follow(container, &self.published),
            None => become_program(&self.command),
        }
    }
}

/// A relay's arguments as they have to be inside, and what has to be published.
#[derive(Debug, PartialEq, Eq)]
struct Inside {
    arguments: Vec<String>,
    /// Ports inside, each with the one that was asked for outside (0: any).
    listening: Vec<(u16, u16)>,
    /// A range that is the same inside and outside.
    public: Option<String>,
}

impl Inside {
    fn of(arguments: &[String]) -> Result<Self> {
        let mut inside = Self { arguments: Vec::new(), listening: Vec::new(), public: None };
        let only_prints = arguments.iter().any(|word| ["--check", "--help", "-h"].contains(&word.as_str()));
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let (option, mut value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            if value.is_none() && ["--listen", "--public-ports"].contains(&option) {
                value = words.next().cloned();
            }
            match (option, value) {
                ("--listen", Some(address)) if !only_prints => match outside_port(&address) {
                    Some(port) => inside.listen(port),
                    // It is to be refused inside as well.
                    None => inside.arguments.extend([option.to_owned(), address]),
                },
                ("--public-ports", Some(range)) => {
                    inside.arguments.extend([option.to_owned(), range.clone()]);
                    inside.public = Some(range).filter(|range| is_range(range));
                }
                ("--listen", Some(value)) => inside.arguments.extend([option.to_owned(), value]),
                _ => inside.arguments.push(word.clone()),
            }
        }
        // An address that stands in a file is replaced by one on the command line.
        if inside.listening.is_empty() && !only_prints && arguments.iter().any(|word| word == "--config") {
            inside.listen(0);
        }
        Ok(inside)
    }

    fn listen(&mut self, outside: u16) {
        let port = FIRST_PORT + self.listening.len() as u16;
        self.arguments.extend(["--listen".to_owned(), format!("0.0.0.0:{port}")]);
        self.listening.push((port, outside));
    }
}

/// Whether the engine can publish it; what it is not, is to be refused inside.
fn is_range(text: &str) -> bool {
    let ends = text.split_once('-').and_then(|(a, b)| Some((a.parse::<u16>().ok()?, b.parse::<u16>().ok()?)));
    ends.is_some_and(|(first, last)| first > 0 && first <= last)
}

/// The port of an address on which this machine can be reached; a container has no other one.
fn outside_port(address: &str) -> Option<u16> {
    if let Ok(port) = address.parse() {
        return Some(port);
    }
    let address: SocketAddr = address.parse().ok()?;
    let ip = address.ip();
    (ip.is_loopback() || ip.is_unspecified() || env::var(GATEWAY) == Ok(ip.to_string()))
        .then(|| address.port())
}

/// Becomes the program, in or outside a container, with this process's identity, so that signals reach it.
#[cfg(unix)]
fn become_program(command: &[OsString]) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = command.split_first().context("there is no program to run")?;
    let emulator = env::var(EMULATOR).unwrap_or_default();
    let mut emulator = emulator.split_whitespace();
    let error = if arguments.first().is_some_and(|word| word == "serve") {
        let words: Option<Vec<String>> =
            arguments.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        relay(&words.context("an argument is not text")?)?.exec()
    } else if let Some(first) = emulator.next() {
        Command::new(first).args(emulator).arg(program).args(arguments).exec()
    } else {
        Command::new(program).args(arguments).exec()
    };
    bail!("cannot run {}: {error}", program.display())
}

#[cfg(not(unix))]
fn become_program(_: &[OsString]) -> Result<ExitCode> {
    bail!("the images are tried on Linux")
}

/// The engine, about to run a relay.
fn relay(arguments: &[String]) -> Result<Command> {
    let variable = |name| env::var(name).with_context(|| format!("{name} is not set"));
    let (image, network, gateway) = (variable(IMAGE)?, variable(NETWORK)?, variable(GATEWAY)?);
    let inside = Inside::of(arguments)?;
    let container = format!("relay-e2e-{}", std::process::id());
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--name", &container, "--network", &network, "--read-only"]);
    docker.args(["--cap-drop", "ALL", "--pull", "never"]);
    // The suite's files are private to the user who wrote them.
    docker.args(["--user", "0:0", "--volume", "/tmp:/tmp:ro"]);
    for name in PASSED.iter().filter(|name| env::var_os(name).is_some()) {
        docker.args(["--env", name]);
    }
    let mut published = Vec::new();
    for (port, outside) in &inside.listening {
        let outside = free_port(&gateway, *outside)?;
        // Some tests name 127.0.0.1, where the port is the same one.
        for address in [&gateway, "127.0.0.1"] {
            docker.args(["--publish", &format!("{address}:{outside}:{port}")]);
        }
        published.push(format!("{port}={gateway}:{outside}"));
    }
    if let Some(range) = inside.public {
        for address in [&gateway, "127.0.0.1"] {
            docker.args(["--publish", &format!("{address}:{range}:{range}")]);
        }
    }
    let emulator = env::var(EMULATOR).unwrap_or_default();
    let mut emulator = emulator.split_whitespace();
    let mut before = Vec::new();
    if let Some(name) = emulator.next() {
        let file = crate::e2e::in_path(name).with_context(|| format!("{name} is not installed"))?;
        docker.args(["--volume", &format!("{}:/emulator:ro", file.display()), "--entrypoint", "/emulator"]);
        before.extend(emulator.map(str::to_owned).chain(["/relay".to_owned()]));
    }
    docker.arg(image).args(before).args(inside.arguments);
    let mut follower = Command::new(env::current_exe()?);
    follower.args(["in-container", "--follow", &container]);
    follower.args(published.iter().flat_map(|pair| ["--published", pair]));
    let follower = follower.stdin(Stdio::piped()).spawn()?;
    docker.stdout(follower.stdin.context("it has a standard input")?);
    Ok(docker)
}

/// A port that is free at both addresses. One that was asked for may still be held by a container that is about to end.
fn free_port(gateway: &str, wanted: u16) -> Result<u16> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let first = TcpListener::bind((gateway, wanted));
        let port = first.as_ref().ok().and_then(|first| Some(first.local_addr().ok()?.port()));
        match port.map(|port| TcpListener::bind(("127.0.0.1", port)).map(|_| port)) {
            Some(Ok(port)) => return Ok(port),
            _ if Instant::now() > end => bail!("port {wanted} is in use by another program"),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Passes the relay's output on, with the addresses outside in it, and removes the container when there is no more.
fn follow(container: &str, published: &[String]) -> Result<ExitCode> {
    let pairs: Vec<_> = published.iter().filter_map(|pair| pair.split_once('=')).collect();
    let mut output = std::io::stdout();
    for line in BufReader::new(std::io::stdin()).split(b'\n') {
        let mut line = String::from_utf8_lossy(&line?).into_owned();
        for (port, address) in &pairs {
            line = line.replace(&format!("0.0.0.0:{port}"), address);
        }
        // Whoever started the relay may be gone; the container has to go all the same.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
    let mut remove = Command::new("docker");
    remove.args(["rm", "--force", container]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = remove.status()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(arguments: &str) -> (String, Vec<(u16, u16)>, Option<String>) {
        let words: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let inside = Inside::of(&words).unwrap();
        (inside.arguments.join(" "), inside.listening, inside.public)
    }

    #[test]
    fn addresses_of_this_machine_become_ports_of_the_container() {
        assert_eq!(
            inside("serve --listen 127.0.0.1:0 --listen=[::1]:7000 --queue 1KiB"),
            (
                "serve --listen 0.0.0.0:18000 --listen 0.0.0.0:18001 --queue 1KiB".into(),
                vec![(18_000, 0), (18_001, 7000)],
                None
            )
        );
        assert_eq!(inside("serve --config /tmp/x").1, [(18_000, 0)]);
        assert_eq!(inside("serve --public-ports 1-2").2, Some("1-2".into()));
        assert_eq!(inside("serve --public-ports 2-1").2, None);
    }

    #[test]
    fn what_cannot_be_listened_on_and_what_only_prints_stays() {
        for same in
            ["serve --listen 192.0.2.1:0", "serve --check --listen 127.0.0.1:3 --config x", "serve --help"]
        {
            assert_eq!(inside(same), (same.into(), vec![], None));
        }
    }
}
