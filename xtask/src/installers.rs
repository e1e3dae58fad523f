//! `cargo xtask installers`: dist's installers for the finished archives, tried without a network.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::{
    files, project,
    release::{Release, Shipped},
    targets::{self, Selection},
    tools::{DIST, Tools},
    verify,
};

/// What the pipeline gives dist beside the archives. Without the checksums in it the installers would verify nothing.
const MANIFEST: &str = "binaries-dist-manifest.json";

/// Let dist write the installers for the finished archives, and try them offline
#[derive(Debug, Args)]
pub(crate) struct Installers {
    #[command(flatten)]
    selection: Selection,

    /// Only write what the release pipeline gives to dist
    #[arg(long)]
    manifest_only: bool,

    /// Only correct dist's PowerShell installer, so that an ARM PC gets the program for ARM
    #[arg(long, value_name = "FILE", conflicts_with = "manifest_only")]
    repair: Option<PathBuf>,
}

impl Installers {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Some(file) = &self.repair {
            repair_file(file)?;
            return Ok(ExitCode::SUCCESS);
        }
        let sh = project::shell()?;
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let manifest = manifest(&sh, &release)?;
        if self.manifest_only {
            files::replace(&folder.join(MANIFEST), manifest.as_bytes(), false)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Where dist looks for what others have built.
        let distrib = project::target_dir().join("distrib");
        let _ = fs::remove_dir_all(&distrib);
        fs::create_dir_all(&distrib)?;
        fs::write(distrib.join(MANIFEST), manifest)?;
        for shipped in &release.targets {
            for sum in shipped.files.iter().chain([&shipped.archive]) {
                fs::copy(folder.join(&sum.file), distrib.join(&sum.file))
                    .with_context(|| sum.file.clone())?;
            }
        }
        let dist = Tools::with(&sh, &[DIST])?.program("dist")?;
        cmd!(sh, "{dist} build --artifacts=global --output-format=json")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()?;
        let host = project::host_triple(&sh)?;
        let target = targets::for_linux_host(&host).context("the shell installer is tried on Linux only")?;
        let shipped = release.shipped(target.triple)?;
        let program = verify::program_of(target, shipped, &folder)?;
        install(&distrib, shipped, &program)?;
        println!("The shell installer installs a working program, and refuses a tampered archive.");
        repair_file(&distrib.join(format!("{}-installer.ps1", project::PACKAGE)))?;
        println!("The PowerShell installer gives an ARM PC the program for ARM.");
        Ok(ExitCode::SUCCESS)
    }
}

/// dist's own list of what we build, with the checksums of what we built. The two have to be the same files.
fn manifest(sh: &Shell, release: &Release) -> Result<String> {
    let dist = Tools::with(sh, &[DIST])?.program("dist")?;
    let text = cmd!(sh, "{dist} manifest --artifacts=local --no-local-paths --output-format=json")
        .quiet()
        .ignore_stderr()
        .read()
        .context("dist does not accept dist-workspace.toml")?;
    let mut manifest: Value = serde_json::from_str(&text)?;
    let artifacts =
        manifest.get_mut("artifacts").and_then(Value::as_object_mut).context("dist lists nothing")?;
    let wanted: BTreeSet<String> = artifacts.keys().cloned().collect();
    let ours = release.targets.iter().flat_map(|shipped| {
        let archive = &shipped.archive.file;
        [archive.clone(), format!("{archive}.sha256")]
    });
    let ours: BTreeSet<String> = ours.collect();
    let differing: Vec<_> = wanted.symmetric_difference(&ours).cloned().collect();
    ensure!(differing.is_empty(), "dist and the finished files differ in: {}", differing.join(", "));
    for shipped in &release.targets {
        let artifact = artifacts.get_mut(&shipped.archive.file).context("dist does not know the archive")?;
        artifact["checksums"] = json!({ "sha256": shipped.archive.sha256 });
    }
    Ok(serde_json::to_string_pretty(&manifest)?)
}

/// Runs the shell installer: once with the archive as it is, once with one that was tampered with.
fn install(distrib: &Path, shipped: &Shipped, program: &[u8]) -> Result<()> {
    let installer = distrib.join(format!("{}-installer.sh", project::PACKAGE));
    let home = tempfile::tempdir()?;
    let output = run(&installer, distrib, home.path())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the installer failed: {said}");
    let installed = installed(home.path());
    ensure!(
        fs::read(&installed).is_ok_and(|bytes| bytes == program),
        "the installer installed another program"
    );
    let version = Command::new(&installed).arg("--version").output()?;
    ensure!(version.status.success(), "the installed program does not run");

    let mirror = tempfile::tempdir()?;
    let mut tampered = fs::read(distrib.join(&shipped.archive.file))?;
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    fs::write(mirror.path().join(&shipped.archive.file), tampered)?;
    let home = tempfile::tempdir()?;
    let output = run(&installer, mirror.path(), home.path())?;
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    ensure!(
        !output.status.success() && said.contains("checksum"),
        "a tampered archive was not refused: {said}"
    );
    ensure!(!self::installed(home.path()).exists(), "a tampered archive was installed");
    Ok(())
}

fn installed(home: &Path) -> PathBuf {
    home.join(".local/bin").join(project::PROGRAM)
}

fn run(installer: &Path, mirror: &Path, home: &Path) -> Result<Output> {
    let variable = format!("{}_DOWNLOAD_URL", project::PACKAGE.to_uppercase().replace('-', "_"));
    let mut command = Command::new("sh");
    command.arg(installer).arg("--no-modify-path").env("HOME", home).env_remove("XDG_BIN_HOME");
    command.env(variable, format!("file://{}", mirror.display())).env_remove("XDG_CONFIG_HOME");
    command.output().context("cannot run sh")
}

fn repair_file(file: &Path) -> Result<()> {
    let script = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    files::replace(file, repair(&script)?.as_bytes(), false)?;
    Ok(())
}

/// dist gives an ARM PC the program for Intel when the targets are those of GNU; ours has one of its own. Corrects the script.
fn repair(script: &str) -> Result<String> {
    let (intel, arm) =
        (targets::find("x86_64-pc-windows-gnu")?, targets::find("aarch64-pc-windows-gnullvm")?);
    let entry = "\"aarch64-pc-windows-gnu\" = @{";
    let begin = script.find(entry).context("the PowerShell installer has no entry for ARM")?;
    let end = begin + script[begin..].find("\n    }").context("the entry for ARM has no end")?;
    let corrected = script[begin..end].replace(&intel.archive_file(), &arm.archive_file());
    ensure!(
        corrected.contains(&arm.archive_file()),
        "the PowerShell installer does not name {}",
        arm.archive_file()
    );
    Ok(format!("{}{corrected}{}", &script[..begin], &script[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_pc_with_an_arm_processor_gets_the_program_for_it() {
        let entry = |processor: &str| {
            format!(
                "    \"{processor}-pc-windows-gnu\" = @{{\n      \"artifact_name\" = \"tcp-relay-x86_64-pc-windows-gnu.zip\"\n    }}\n"
            )
        };
        let script = entry("aarch64") + &entry("x86_64");
        let repaired = repair(&script).unwrap();
        let arm = entry("aarch64")
            .replace("tcp-relay-x86_64-pc-windows-gnu", "tcp-relay-aarch64-pc-windows-gnullvm");
        assert_eq!(repaired, arm + &entry("x86_64"));
        assert_eq!(repair(&repaired).unwrap(), repaired);
        assert!(repair(&entry("x86_64")).is_err());
    }
}
