//! cargo-zigbuild: zig is the linker and brings the C library, so any machine builds for any platform.

use anyhow::Result;

use super::{Build, flags, jobs::Job, program};
use crate::{
    project,
    targets::Target,
    toolchain::Std,
    tools::{Tools, ZIG, ZIGBUILD},
};

pub(super) fn prepare(build: &Build<'_>, triple: &str) -> Result<Job> {
    let target = crate::targets::find(triple)?;
    let std = Std::of(build.sh, triple)?;
    let tools = Tools::with(build.sh, &[ZIG, ZIGBUILD])?;
    let folder = build.target_dir.join("zig").join(triple);
    let mut flags = flags::common(build)?;
    flags.extend(linking(target, std));
    let mut command = build
        .cargo(&tools.program("cargo-zigbuild")?, "zigbuild", triple, &folder, std)
        .env("CARGO", project::cargo())
        .env("CARGO_ENCODED_RUSTFLAGS", flags::encode(&flags))
        .env("CARGO_ZIGBUILD_ZIG_PATH", tools.zig(build.sh)?)
        // It writes its wrappers without regard for another one that does the same.
        .env("CARGO_ZIGBUILD_CACHE_DIR", folder.join("zigbuild"))
        // Shared by all builds: it holds zig's own C libraries, nothing of ours, and zig locks it.
        .env("ZIG_GLOBAL_CACHE_DIR", project::target_dir().join("zig-cache"));
    if let Some(version) = target.macos {
        // zig's own choice would be a newer one.
        command = command.env("MACOSX_DEPLOYMENT_TARGET", version);
    }
    Ok(Job::new(triple, command.into(), program(&folder, triple)))
}

/// What rustc has to tell zig's linker.
pub(super) fn linking(target: &Target, std: Std) -> Vec<String> {
    let mut flags = Vec::new();
    if std == Std::FromSource && target.triple.contains("-musl") {
        // The objects that start a program come with a prebuilt standard library; here zig has them.
        flags.push("-Clink-self-contained=no".to_owned());
    }
    if target.triple.contains("-linux-") {
        // The program aborts on a panic, so nothing ever unwinds: a tenth of the file for nothing. Windows insists on the tables.
        flags.push("-Cforce-unwind-tables=no".to_owned());
    }
    if target.triple.starts_with("riscv64") {
        // The call is a weak one, which brings nothing out of the C library; where it leads nowhere, this linker lets it lead to itself.
        flags.push("-Clink-arg=-Wl,--undefined=getrandom".to_owned());
    }
    if target.triple.contains("-windows-") {
        // Without it zig links as for debugging and writes the time of day into the file.
        flags.push("-Clink-arg=-O2".to_owned());
    }
    flags
}
