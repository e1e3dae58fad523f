//! What must hold for `.github/`: it is what GitHub accepts, and gives nobody more than he needs.

use anyhow::Result;
use xshell::cmd;

use crate::{
    project,
    suites::Tally,
    tools::{CHECK_JSONSCHEMA, DIST, Tools, ZIZMOR},
};

/// Checks the pipelines; each check counts.
///
/// # Errors
/// A tool cannot be had.
pub(crate) fn check() -> Result<Tally> {
    let sh = project::shell()?;
    let tools = Tools::with(&sh, &[ZIZMOR, CHECK_JSONSCHEMA, DIST])?;
    let mut tally = Tally::default();
    let folder = ".github/workflows";
    let zizmor = tools.program("zizmor")?;
    let passed = cmd!(sh, "{zizmor} --offline --quiet --min-severity medium {folder}").quiet().run().is_ok();
    tally.add(Tally::of_check(passed));
    let schema = tools.program("check-jsonschema")?;
    let files: Vec<_> = sh.read_dir(folder)?.into_iter().collect();
    let passed =
        cmd!(sh, "{schema} --builtin-schema vendor.github-workflows {files...}").quiet().run().is_ok();
    tally.add(Tally::of_check(passed));
    let dist = tools.program("dist")?;
    let passed = cmd!(sh, "{dist} plan").quiet().ignore_stdout().run().is_ok();
    tally.add(Tally::of_check(passed));
    // The pipelines name the version of dist on their own.
    let release = sh.read_file(".github/workflows/release.yml")?;
    tally.add(Tally::of_check(release.contains(&format!("DIST: {DIST}\n"))));
    Ok(tally)
}
