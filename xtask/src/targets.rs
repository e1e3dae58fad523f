//! The one table of platforms. What is built, with what, how it is run here, how it is packed and published: everything else
//! derives it from here.

use Archive::{TarGz, Zip};
use Runner::{Inspect, Native, Qemu, Wine};

/// One platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Rust's name of it.
    pub(crate) triple: &'static str,
    /// zig's name of it.
    pub(crate) zig: &'static str,
    /// Whose machine it is, for the download table.
    pub(crate) machine: &'static str,
    /// How its program is run on a Linux x64 machine.
    pub(crate) runner: Runner,
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
    /// Whether it is published. The others are built and tested because they find bugs (word size, byte order).
    pub(crate) published: bool,
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

/// The whole product fits a small device; no platform may need more.
const BUDGET_BYTES: u64 = 2_000_000;

const LINUX: Target = Target {
    triple: "",
    zig: "",
    machine: "",
    runner: Native,
    archive: TarGz,
    budget_bytes: BUDGET_BYTES,
    debian: None,
    container: None,
    pipeline: "ubuntu-24.04",
    published: true,
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
        machine: "Raspberry Pi 2, 3, 4, Zero 2 (32-bit system)",
        runner: Qemu { architecture: "arm", cpu: "cortex-a7" },
        debian: Some("armhf"),
        container: Some("linux/arm/v7"),
        ..LINUX
    },
    Target {
        triple: "arm-unknown-linux-musleabihf",
        zig: "arm-linux-musleabihf",
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
        pipeline: "macos-15-intel",
        ..LINUX
    },
    Target {
        triple: "aarch64-apple-darwin",
        zig: "aarch64-macos",
        machine: "Mac with Apple silicon (M1 and later)",
        runner: Inspect,
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
        machine: "Linux PC (32-bit Intel or AMD)",
        runner: Qemu { architecture: "i386", cpu: "" },
        published: false,
        ..LINUX
    },
    Target {
        triple: "riscv64gc-unknown-linux-musl",
        zig: "riscv64-linux-musl",
        machine: "RISC-V board (64-bit)",
        runner: Qemu { architecture: "riscv64", cpu: "" },
        published: false,
        ..LINUX
    },
    Target {
        triple: "s390x-unknown-linux-musl",
        zig: "s390x-linux-musl",
        machine: "IBM Z; the big-endian one",
        runner: Qemu { architecture: "s390x", cpu: "" },
        published: false,
        ..LINUX
    },
];
