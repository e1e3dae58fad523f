//! `cargo xtask sync`: what other files repeat of the table of platforms stands between markers, and comes from here.

mod texts;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{files, project};

/// Rewrite what README, the release configuration and the pipelines repeat of the table of platforms
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Only say what differs, and fail if anything does
    #[arg(long)]
    check: bool,
}

/// A piece of a file that is derived.
struct Derived {
    file: &'static str,
    /// What the lines around it say, as comments of that file.
    markers: [&'static str; 2],
    text: fn() -> String,
}

const MARKDOWN: [&str; 2] = ["<!-- targets: written by `cargo xtask sync` -->", "<!-- end of targets -->"];
const HASH: [&str; 2] = ["# targets: written by `cargo xtask sync`", "# end of targets"];

const DERIVED: &[Derived] = &[
    Derived { file: "README.md", markers: MARKDOWN, text: texts::downloads },
    Derived { file: "dist-workspace.toml", markers: HASH, text: texts::dist_targets },
    Derived { file: ".github/workflows/ci.yml", markers: HASH, text: texts::ci_matrix },
    Derived { file: ".github/workflows/build-binaries.yml", markers: HASH, text: texts::build_matrix },
];

impl Sync {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.check {
            let differing = differing()?;
            return Ok(if differing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        for derived in DERIVED {
            let path = project::root().join(derived.file);
            let old = fs::read_to_string(&path).with_context(|| format!("cannot read {}", derived.file))?;
            let new = derived.apply(&old)?;
            if files::replace(&path, new.as_bytes(), false)? {
                println!("{}  rewritten", derived.file);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The files that differ from the table; says so.
///
/// # Errors
/// One of them or its markers are missing.
pub(crate) fn differing() -> Result<Vec<&'static str>> {
    let mut differing = Vec::new();
    for derived in DERIVED {
        let old = fs::read_to_string(project::root().join(derived.file))
            .with_context(|| format!("cannot read {}", derived.file))?;
        if derived.apply(&old)? != old {
            println!("{} differs from the table of platforms; run `cargo xtask sync`", derived.file);
            differing.push(derived.file);
        }
    }
    Ok(differing)
}

impl Derived {
    /// The file's text with the derived piece as it has to be, indented like its first marker.
    fn apply(&self, old: &str) -> Result<String> {
        let [first, last] = self.markers;
        let missing = || format!("{} has no line `{first}`, or no `{last}` after it", self.file);
        let begin = old.find(first).with_context(missing)?;
        let end = begin + old[begin..].find(last).with_context(missing)?;
        let line = old[..begin].rfind('\n').map_or(0, |at| at + 1);
        let indent = &old[line..begin];
        let indented = |text: &str| -> String {
            text.lines()
                .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") })
                .collect()
        };
        let text = indented(&(self.text)());
        Ok(format!("{}{first}\n{text}{indent}{}", &old[..begin], &old[end..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Derived = Derived { file: "x.yml", markers: HASH, text: || "- a\n- b\n".to_owned() };

    #[test]
    fn only_what_is_between_the_markers_changes_and_keeps_its_indentation() {
        let old = format!("list:\n  {}\n  - old\n  {}\nrest\n", HASH[0], HASH[1]);
        let new = EXAMPLE.apply(&old).unwrap();
        assert_eq!(new, format!("list:\n  {}\n  - a\n  - b\n  {}\nrest\n", HASH[0], HASH[1]));
        assert_eq!(EXAMPLE.apply(&new).unwrap(), new);
    }

    #[test]
    fn a_file_without_markers_is_an_error() {
        for text in ["", HASH[0], HASH[1]] {
            assert!(EXAMPLE.apply(text).unwrap_err().to_string().contains("x.yml"));
        }
    }

    #[test]
    fn nothing_differs_from_the_table() {
        assert_eq!(differing().unwrap(), Vec::<&str>::new());
    }
}
