//! The derived texts.

use crate::targets::{Runner, TARGETS, Target};

/// The table of downloads: whose machine, which file.
pub(super) fn downloads() -> String {
    let mut text = "\n| your machine | file |\n| --- | --- |\n".to_owned();
    for target in TARGETS {
        let file = target.archive_file();
        text.push_str(&format!("| {} | [{file}](binaries/{file}) |\n", target.machine));
    }
    text.push('\n');
    text
}

/// The targets in dist's configuration.
pub(super) fn dist_targets() -> String {
    let lines = TARGETS.iter().map(|target| format!("  \"{}\",\n", target.triple));
    format!("targets = [\n{}]\n", lines.collect::<String>())
}

/// The machines that try every change, each with what it runs natively.
pub(super) fn ci_matrix() -> String {
    let own = |target: &&Target| target.is_its_pipelines_own();
    TARGETS.iter().filter(own).map(entry).collect()
}

/// The machines that judge what one machine has built: all platforms but those it has judged already.
pub(super) fn build_matrix() -> String {
    let elsewhere = |target: &&Target| target.is_its_pipelines_own() && target.runner != Runner::Native;
    TARGETS.iter().filter(elsewhere).map(entry).collect()
}

fn entry(target: &Target) -> String {
    format!("- {{ target: {}, runner: {} }}\n", target.triple, target.pipeline)
}
