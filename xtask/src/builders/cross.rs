//! cross: cargo in a container, with an image of our own whose linker is zig (`packaging/cross/`).
//!
//! cross 0.2.5 must not be let near the active toolchain: it does not understand newer listings of rustup, takes the active one
//! for missing, and replaces it. So it is only ever called with the name of another one, and only if it will find that one in the list.

use std::{env, process::Command};

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use super::{Build, flags, jobs::Job, program, zig};
use crate::{
    e2e::in_path,
    files, project,
    toolchain::Std,
    tools::{ZIG, ZIGBUILD},
};

/// The image.
const IMAGE: &str = "relay-cross";
/// Names the toolchain that cross may use. cross puts the host's triple behind the name: `NAME-TRIPLE` is to be in rustup's list.
const TOOLCHAIN: &str = "RELAY_CROSS_TOOLCHAIN";
/// Where cross 0.2.5 mounts what it needs.
const TARGET_DIR: &str = "/target";
/// What cross says when it gives up on the container and goes on without one.
const FALLBACK: &str = "Falling back to `cargo` on the host";

pub(super) fn prepare(build: &Build<'_>, triple: &str) -> Result<Job> {
    let target = crate::targets::find(triple)?;
    let toolchain = ready(build, triple)?;
    let std = Std::of(build.sh, triple)?;
    let folder = build.target_dir.join("cross").join(triple);
    // What the program takes in has to lie where the container sees it.
    let list = build.list_of_dependencies(triple);
    let name = format!("auditable-{triple}");
    files::replace(&folder.join(&name), &std::fs::read(list)?, false)?;

    let mut rustflags = flags::common(build)?;
    rustflags.extend(inside(build)?);
    rustflags.extend(zig::linking(target, std));
    // Else the C library would be compiled for a newer processor.
    rustflags.extend(target.zig_cpu.map(|cpu| format!("-Clink-arg=-mcpu={cpu}")));
    let upper = triple.to_uppercase().replace('-', "_");
    let passed = "CARGO_ENCODED_RUSTFLAGS RELAY_AUDITABLE RELAY_ZIG_TARGET RUSTC_BOOTSTRAP";
    let mut command = Command::new("cross");
    command.arg(format!("+{toolchain}")).arg("build").args(build.arguments(triple, &folder, std));
    command
        .current_dir(&build.source)
        .env("CROSS_CUSTOM_TOOLCHAIN", "1")
        .env(format!("CROSS_TARGET_{upper}_IMAGE"), IMAGE)
        .env("CROSS_BUILD_ENV_PASSTHROUGH", format!("{passed} CARGO_TARGET_{upper}_LINKER"))
        .env(format!("CARGO_TARGET_{upper}_LINKER"), "zig-cc")
        .env("CARGO_ENCODED_RUSTFLAGS", flags::encode(&rustflags))
        .env("RELAY_AUDITABLE", format!("{TARGET_DIR}/{name}"))
        .env("RELAY_ZIG_TARGET", target.zig)
        .env("RUSTC_BOOTSTRAP", "1");
    Ok(Job::new(triple, command, program(&folder, triple))
        .refusing(FALLBACK, "cross built without its container"))
}

/// Whether cross, a container engine, the image and a toolchain for it are there: gives the toolchain's name. Nothing of cross is run to
/// find out.
///
/// # Errors
/// Something is missing, or the platform is not for cross.
pub(super) fn ready(build: &Build<'_>, triple: &str) -> Result<String> {
    ensure!(triple.contains("-linux-"), "the image of cross builds for Linux; use --builder zig");
    ensure!(in_path("cross").is_some(), "cross is not installed; `cargo install cross` does it");
    let engine = ["docker", "podman"].into_iter().find(|name| in_path(name).is_some());
    let engine = engine.context("cross needs a container engine: install docker or podman")?;
    let found =
        cmd!(build.sh, "{engine} image inspect {IMAGE}").quiet().ignore_stdout().ignore_stderr().run();
    ensure!(
        found.is_ok(),
        "there is no image {IMAGE}; make it with `ZIG={ZIG} ZIGBUILD={ZIGBUILD} packaging/cross/make-image` \
         (with the argument `debootstrap` where no registry is reachable)"
    );
    toolchain_name(build)
}

/// The toolchain for cross: one that it finds in rustup's list, and so leaves as it is.
fn toolchain_name(build: &Build<'_>) -> Result<String> {
    let host = project::host_triple(build.sh)?;
    let name = env::var(TOOLCHAIN).ok().filter(|name| !name.is_empty());
    let name = name.with_context(|| {
        format!("cross may replace the active toolchain; link another name to it with `rustup toolchain link relay-cross-{host} \"$(rustc --print sysroot)\"` and set {TOOLCHAIN}=relay-cross")
    })?;
    let list = cmd!(build.sh, "rustup toolchain list").quiet().read()?;
    ensure!(
        finds(&list, &name, &host),
        "cross would not find the toolchain {name}-{host} and might replace it; {TOOLCHAIN}=NAME has to name one that `rustup toolchain list` shows as NAME-{host}, neither active nor default"
    );
    Ok(name)
}

/// Whether cross takes the toolchain for installed: a line of the list says its full name, and nothing else.
fn finds(list: &str, name: &str, host: &str) -> bool {
    list.lines().any(|line| line == format!("{name}-{host}"))
}

/// The folders of the container, renamed as those of this machine are.
fn inside(build: &Build<'_>) -> Result<Vec<String>> {
    let commit = flags::rustc_commit(build.sh)?;
    let mut replacements = vec![("/cargo/registry/src".to_owned(), "/cargo".to_owned())];
    replacements.extend(flags::registries()?.iter().filter_map(|folder| {
        Some((format!("/cargo/registry/src/{}", folder.file_name()?.to_str()?), "/cargo".to_owned()))
    }));
    replacements.push(("/rust/lib/rustlib/src/rust".to_owned(), format!("/rustc/{commit}")));
    replacements.push(("/project".to_owned(), "/relay".to_owned()));
    Ok(replacements.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_given_to_cross_only_if_it_finds_it_in_the_list() {
        let list = "stable-x (active, default)\nnightly-x (default)\nrelay-cross-x\n1.95.0-x (override)\n";
        assert!(finds(list, "relay-cross", "x"));
        for name in ["stable", "nightly", "1.95.0", "relay", "relay-cross-x", ""] {
            assert!(!finds(list, name, "x"), "{name}");
        }
    }

    #[test]
    fn without_a_toolchain_of_its_own_cross_is_not_called() {
        // Without the variable there is nothing that cross may use.
        if env::var_os(TOOLCHAIN).is_none() {
            let shell = project::shell().unwrap();
            let error = toolchain_name(&Build::here(&shell)).unwrap_err().to_string();
            assert!(error.contains(TOOLCHAIN), "{error}");
        }
    }
}
