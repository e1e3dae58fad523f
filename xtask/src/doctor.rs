//! `cargo xtask doctor`: what this machine can build and run, and the command that brings what is missing.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use xshell::{Shell, cmd};

use crate::{
    e2e::{self, in_path},
    project, report,
    targets::{Runner, TARGETS},
    toolchain::Std,
    tools::{self, Tools, ZIG, ZIGBUILD},
};

/// Say what this machine can build and run, what is missing, and what brings it
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Install what is missing: with pip into target/tools, and with apt where this user may
    #[arg(long)]
    install: bool,
}

/// What the bench measures beside, or with, and Debian's package of it. Without one of them its rows say "not measured".
const PEERS: &[(&str, &str)] = &[
    ("haproxy", "haproxy"),
    ("mosquitto", "mosquitto"),
    ("wrk", "wrk"),
    ("redis-benchmark", "redis-tools"),
    ("redis-server", "redis-server"),
    ("iperf3", "iperf3"),
    ("nginx", "nginx-light"),
    ("perf", "linux-perf"),
];

/// Something that a command needs.
struct Need {
    what: String,
    purpose: &'static str,
    is_there: bool,
    /// Debian's package.
    package: Option<&'static str>,
    /// The command that brings it, where it is not apt.
    otherwise: Option<String>,
}

impl Need {
    fn program(name: &str, purpose: &'static str, package: &'static str) -> Self {
        Self {
            what: name.to_owned(),
            purpose,
            is_there: in_path(name).is_some(),
            package: Some(package),
            otherwise: None,
        }
    }

    fn brought_by(&self) -> String {
        match (&self.otherwise, self.package) {
            (Some(command), _) => command.clone(),
            (None, Some(package)) => format!("apt install {package}"),
            (None, None) => String::new(),
        }
    }
}

impl Doctor {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let sh = project::shell()?;
        if self.install {
            install(&sh, &needs(&sh)?)?;
        }
        let needs = needs(&sh)?;
        let rows: Vec<_> = needs
            .iter()
            .map(|need| {
                let state = if need.is_there { "there" } else { "MISSING" };
                let remedy = if need.is_there { String::new() } else { need.brought_by() };
                [need.what.clone(), need.purpose.to_owned(), state.to_owned(), remedy]
            })
            .collect();
        print!("{}", report::table(["what", "for", "", "brought by"], &rows));
        print!("\n{}", report::table(["target", "built", "run by"], &abilities(&sh)?));
        let missing = needs.iter().filter(|need| !need.is_there).count();
        if missing > 0 {
            println!("\n{missing} missing; `cargo xtask doctor --install` brings what it can");
        }
        Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn needs(sh: &Shell) -> Result<Vec<Need>> {
    let python = tools::system_python();
    let has_venv =
        cmd!(sh, "{python} -c").arg("import ensurepip, venv").quiet().ignore_stderr().run().is_ok();
    let tools_are_there = has_venv && Tools::has(&[ZIG, ZIGBUILD]);
    let mut needs = vec![
        Need::program("cc", "building: cargo's own build scripts", "gcc"),
        Need::program("git", "building: the commit and its time", "git"),
        Need {
            what: format!("{python} with venv"),
            purpose: "building: brings zig; the Python client's tests",
            is_there: has_venv,
            package: Some("python3-venv"),
            otherwise: None,
        },
        Need {
            what: format!("{ZIG}, {ZIGBUILD}"),
            purpose: "building: linker and C libraries",
            is_there: tools_are_there,
            package: None,
            otherwise: Some("cargo xtask doctor --install".to_owned()),
        },
    ];
    if cfg!(target_os = "linux") {
        let host = project::host_triple(sh)?;
        // Several platforms share an emulator.
        let architectures: BTreeSet<_> = TARGETS
            .iter()
            .filter(|target| !e2e::is_native(target.triple, &host))
            .filter_map(|target| match target.runner {
                Runner::Qemu { architecture, .. } => Some(architecture),
                _ => None,
            })
            .collect();
        for architecture in architectures {
            let mut need = Need::program(
                &format!("qemu-{architecture}-static"),
                "running: emulator",
                "qemu-user-static",
            );
            need.is_there |= in_path(&format!("qemu-{architecture}")).is_some();
            needs.push(need);
        }
        let mut wine = Need::program("wine64", "running: Windows programs", "wine64");
        wine.is_there = e2e::wine_program().is_some();
        needs.push(wine);
        needs.extend([
            Need::program("docker", "running: the image, the packages", "docker.io"),
            Need::program("buildah", "the image", "buildah"),
            Need::program("lintian", "the packages: Debian's own judgement", "lintian"),
            Need::program("debootstrap", "the packages: a system to install them on", "debootstrap"),
        ]);
        needs.extend(PEERS.iter().map(|(name, package)| {
            let mut need = Need::program(name, "the bench", package);
            need.is_there |= Path::new("/usr/sbin").join(name).is_file();
            need
        }));
    }
    Ok(needs)
}

/// What can be done here for each platform, without changing anything.
fn abilities(sh: &Shell) -> Result<Vec<[String; 3]>> {
    let host = project::host_triple(sh)?;
    let mut rows = Vec::new();
    for target in TARGETS {
        let std = match Std::known(sh, target.triple)? {
            Some(Std::Prebuilt) => "with the installed standard library",
            Some(Std::FromSource) => "with the standard library from source",
            None => "after `rustup target add`",
        };
        let runner = e2e::describe(target, &host);
        rows.push([target.triple.to_owned(), std.to_owned(), runner]);
    }
    Ok(rows)
}

fn install(sh: &Shell, needs: &[Need]) -> Result<()> {
    let packages: BTreeSet<_> =
        needs.iter().filter(|need| !need.is_there).filter_map(|need| need.package).collect();
    if !packages.is_empty() {
        let words = packages.iter().copied().collect::<Vec<_>>().join(" ");
        if in_path("apt-get").is_none() || !is_root(sh) {
            bail!(
                "this user cannot install packages here; run `sudo apt install {words}`, or what your system has instead"
            );
        }
        println!("apt-get install {words}");
        sh.set_var("DEBIAN_FRONTEND", "noninteractive");
        cmd!(sh, "apt-get update").quiet().ignore_stdout().run()?;
        cmd!(sh, "apt-get install --yes --no-install-recommends")
            .args(packages)
            .quiet()
            .ignore_stdout()
            .run()
            .context("apt-get failed")?;
    }
    Tools::with(sh, &[ZIG, ZIGBUILD])?;
    Ok(())
}

/// Whether this is the user that may do everything; never on Windows.
pub(crate) fn is_root(sh: &Shell) -> bool {
    cmd!(sh, "id -u").quiet().ignore_stderr().read().is_ok_and(|id| id == "0")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_program_of_debians_that_the_bench_asks_for_is_known() {
        let text = fs::read_to_string(project::root().join("bench/src/peers/mod.rs")).unwrap();
        let mut found = 0;
        for call in text.split("=> of_debian(").skip(1) {
            let words: Vec<_> = call.split('"').collect();
            assert!(PEERS.contains(&(words[1], words[3])), "{} of {}", words[1], words[3]);
            found += 1;
        }
        assert_eq!(found, PEERS.len() - 1, "all but perf");
    }
}
