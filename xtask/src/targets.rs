//! The one table of platforms. What is built, with what, how it is run here, how it is packed and published: everything else
//! derives it from here.

use std::path::PathBuf;

use Archive::{TarGz, Zip};
use Runner::{Inspect, Native, Qemu, Wine};
use anyhow::{Context, Result};
use clap::Args;

use crate::project;

/// One platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Rust's name of it.
    pub(crate) triple: &'static str,
    /// zig's name of it.
    pub(crate) zig: &'static str,
    /// The oldest processor, in zig's words, where zig's own choice is another than Rust's. cargo-zigbuild knows it by itself.
    pub(crate) zig_cpu: Option<&'static str>,
    /// Whose machine it is, for the download table.
    pub(crate) machine: &'static str,
    /// How its program is run on a Linux x64 machine.
    pub(crate) runner: Runner,
    /// The oldest macOS that runs it, where it is one.
    pub(crate) macos: Option<&'static str>,
    /// What its files are packed into.
    pub(crate) archive: Archive,
    /// The largest program that may ship, in bytes.
    pub(crate) budget_bytes: u64,
    /// Debian's name of the architecture, where there is a package for it.
    pub(crate) debian: Option<&'static str>,
    /// The container platform, where there is an image for it.
    pub(crate) container: Option<&'static str>,
    /// The machine of the release pipeline that runs the suite on this target's own hardware or under its emulator.
    pub(crate) pipeline: &'static str,
}

/// How a program is run on the machine that built it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// As it is.
    Native,
    /// Under qemu-user, on exactly this CPU (empty: qemu's own choice): an instruction of a later one ends the run.
    Qemu {
        /// The emulator's architecture.
        architecture: &'static str,
        /// The oldest CPU that must do.
        cpu: &'static str,
    },
    /// Under wine.
    Wine,
    /// Not at all: it is read by an object parser here and run in the release pipeline.
    Inspect,
}

/// What the files of a target are packed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archive {
    /// `.tar.gz` with one folder.
    TarGz,
    /// `.zip` without a folder.
    Zip,
}

impl Target {
    /// The one folder in its archive, and the beginning of every file name.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", project::PACKAGE, self.triple)
    }

    /// Whether the machine of the pipeline runs it as it is, not under an emulator.
    pub(crate) fn is_its_pipelines_own(&self) -> bool {
        self.runner == Native || self.pipeline != LINUX.pipeline
    }

    /// The file name of its archive.
    pub(crate) fn archive_file(&self) -> String {
        let ending = match self.archive {
            TarGz => "tar.gz",
            Zip => "zip",
        };
        format!("{}.{ending}", self.folder())
    }
}

/// The whole product fits a small device; no platform may need more.
const BUDGET_BYTES: u64 = 2_000_000;

const LINUX: Target = Target {
    triple: "",
    zig: "",
    zig_cpu: None,
    machine: "",
    runner: Native,
    macos: None,
    archive: TarGz,
    budget_bytes: BUDGET_BYTES,
    debian: None,
    container: None,
    pipeline: "ubuntu-24.04",
};

/// Every platform.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        triple: "x86_64-unknown-linux-musl",
        zig: "x86_64-linux-musl",
        machine: "Linux PC or server (64-bit Intel or AMD)",
        debian: Some("amd64"),
        container: Some("linux/amd64"),
        ..LINUX
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        zig: "aarch64-linux-musl",
        machine: "Raspberry Pi 3, 4, 5, Zero 2 (64-bit system), ARM server",
        runner: Qemu { architecture: "aarch64", cpu: "cortex-a53" },
        debian: Some("arm64"),
        container: Some("linux/arm64"),
        pipeline: "ubuntu-24.04-arm",
        ..LINUX
    },
    Target {
        triple: "armv7-unknown-linux-musleabihf",
        zig: "arm-linux-musleabihf",
        zig_cpu: Some("generic+v7a+vfp3-d32+thumb2-neon"),
        machine: "Raspberry Pi 2, 3, 4, Zero 2 (32-bit system)",
        runner: Qemu { architecture: "arm", cpu: "cortex-a7" },
        debian: Some("armhf"),
        container: Some("linux/arm/v7"),
        ..LINUX
    },
    Target {
        triple: "arm-unknown-linux-musleabihf",
        zig: "arm-linux-musleabihf",
        zig_cpu: Some("generic+v6+strict_align+vfp2-d32"),
        machine: "Raspberry Pi 1, Zero, Zero W",
        runner: Qemu { architecture: "arm", cpu: "arm1176" },
        container: Some("linux/arm/v6"),
        ..LINUX
    },
    Target {
        triple: "x86_64-apple-darwin",
        zig: "x86_64-macos",
        machine: "Mac with an Intel processor",
        runner: Inspect,
        macos: Some("10.12"),
        pipeline: "macos-15-intel",
        ..LINUX
    },
    Target {
        triple: "aarch64-apple-darwin",
        zig: "aarch64-macos",
        machine: "Mac with Apple silicon (M1 and later)",
        runner: Inspect,
        macos: Some("11.0"),
        pipeline: "macos-15",
        ..LINUX
    },
    Target {
        triple: "x86_64-pc-windows-gnu",
        zig: "x86_64-windows-gnu",
        machine: "Windows PC (64-bit Intel or AMD)",
        runner: Wine,
        archive: Zip,
        pipeline: "windows-2025",
        ..LINUX
    },
    Target {
        triple: "aarch64-pc-windows-gnullvm",
        zig: "aarch64-windows-gnu",
        machine: "Windows PC with an ARM processor",
        runner: Inspect,
        archive: Zip,
        pipeline: "windows-11-arm",
        ..LINUX
    },
    Target {
        triple: "i686-unknown-linux-musl",
        zig: "x86-linux-musl",
        zig_cpu: Some("pentium4"),
        machine: "Linux PC (32-bit Intel or AMD)",
        runner: Qemu { architecture: "i386", cpu: "qemu32" },
        ..LINUX
    },
    Target {
        triple: "riscv64gc-unknown-linux-musl",
        zig: "riscv64-linux-musl",
        zig_cpu: Some("generic_rv64+m+a+f+d+c"),
        machine: "RISC-V board (64-bit)",
        runner: Qemu { architecture: "riscv64", cpu: "sifive-u54" },
        ..LINUX
    },
    Target {
        triple: "s390x-unknown-linux-musl",
        zig: "s390x-linux-musl",
        zig_cpu: Some("z10-vector"),
        machine: "IBM Z (64-bit)",
        runner: Qemu { architecture: "s390x", cpu: "qemu" },
        // No small device; it is here since a big-endian machine finds bugs that no other does.
        budget_bytes: BUDGET_BYTES + 200_000,
        ..LINUX
    },
];

/// Which platforms a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selection {
    /// Only this platform; may be given several times [default: all]
    #[arg(long, short, value_name = "TRIPLE", value_parser = find)]
    target: Vec<&'static Target>,

    /// Where the finished files are
    #[arg(long, value_name = "DIR", default_value = "binaries")]
    folder: PathBuf,
}

impl Selection {
    /// These, in that folder.
    pub(crate) fn of(target: Vec<&'static Target>, folder: PathBuf) -> Self {
        Self { target, folder }
    }

    /// Where the finished files are.
    pub(crate) fn folder(&self) -> PathBuf {
        project::root().join(&self.folder)
    }

    /// The chosen platforms, each once, in the order of the table.
    pub(crate) fn targets(&self) -> Vec<&'static Target> {
        let is_chosen = |target: &&Target| self.target.is_empty() || self.target.contains(target);
        TARGETS.iter().filter(is_chosen).collect()
    }
}

/// The platform of that triple.
///
/// # Errors
/// There is none; the error names those there are.
pub(crate) fn find(triple: &str) -> Result<&'static Target> {
    let found = TARGETS.iter().find(|target| target.triple == triple);
    found.with_context(|| {
        let known: Vec<_> = TARGETS.iter().map(|target| target.triple).collect();
        format!("{triple} is none of the platforms that are built:\n  {}", known.join("\n  "))
    })
}

/// The platform whose program runs natively on a Linux machine with this triple, whatever C library it has.
pub(crate) fn for_linux_host(host: &str) -> Option<&'static Target> {
    let (architecture, system) = host.split_once('-')?;
    let is_ours = |target: &&Target| {
        target
            .triple
            .split_once('-')
            .is_some_and(|(ours, system)| ours == architecture && system.contains("-linux-"))
    };
    system.contains("-linux-").then(|| TARGETS.iter().find(is_ours))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linux_machine_runs_the_static_program_of_its_architecture() {
        let triple = |host| for_linux_host(host).map(|target| target.triple);
        assert_eq!(triple("x86_64-unknown-linux-gnu"), Some("x86_64-unknown-linux-musl"));
        assert_eq!(triple("armv7-unknown-linux-gnueabihf"), Some("armv7-unknown-linux-musleabihf"));
        assert_eq!(triple("x86_64-pc-windows-msvc"), None);
        assert_eq!(triple("aarch64-apple-darwin"), None);
        assert_eq!(triple("loongarch64-unknown-linux-gnu"), None);
    }

    #[test]
    fn an_unknown_platform_is_answered_with_the_known_ones() {
        let error = find("sparc-sun-solaris").unwrap_err().to_string();
        assert!(error.starts_with("sparc-sun-solaris is none of"), "{error}");
        assert!(TARGETS.iter().all(|target| error.contains(target.triple)), "{error}");
        assert_eq!(find("aarch64-apple-darwin").unwrap().triple, "aarch64-apple-darwin");
    }
}
