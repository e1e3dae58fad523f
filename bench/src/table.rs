//! The table that is printed and kept.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

/// One measure.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) measure: String,
    pub(super) relay: String,
    /// What each peer did, where it was asked to; none where no peer was.
    pub(super) peers: Vec<String>,
    /// The relay's figure by that of the peer it is compared with.
    pub(super) ratio: Option<f64>,
    /// What is to be reached, in words.
    pub(super) bound: String,
    pub(super) holds: Option<bool>,
}

/// What the ratio of relay to peer is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Bound {
    /// The bound in words, and whether the ratio is within it.
    pub(super) fn judge(self, ratio: Option<f64>) -> (String, Option<bool>) {
        match self {
            Self::AtLeast(times) => (format!("at least {times} times"), ratio.map(|ratio| ratio >= times)),
            Self::AtMost(times) => (format!("at most {times} times"), ratio.map(|ratio| ratio <= times)),
            Self::None => (String::new(), None),
        }
    }
}

/// Rows, as Markdown that also reads well on a terminal.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Markdown with columns in line.
    pub(super) fn markdown(&self, peers: &[&str]) -> String {
        let heading = ["measure", "relay"].iter().chain(peers).chain(&["ratio", "bound", "holds"]);
        let mut cells: Vec<Vec<String>> = vec![heading.map(|cell| (*cell).to_owned()).collect()];
        cells.extend(self.rows.iter().map(|row| {
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let holds = match row.holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let mut cells = vec![row.measure.clone(), row.relay.clone()];
            cells.extend((0..peers.len()).map(|n| row.peers.get(n).cloned().unwrap_or_default()));
            cells.extend([ratio, row.bound.clone(), holds.to_owned()]);
            cells
        }));
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
        let mut out = String::new();
        for (number, row) in cells.iter().enumerate() {
            let line: Vec<_> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}", width = *width))
                .collect();
            let _ = writeln!(out, "| {} |", line.join(" | "));
            if number == 0 {
                let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
                let _ = writeln!(out, "| {} |", rule.join(" | "));
            }
        }
        out
    }

    /// The same for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "measure": row.measure, "relay": row.relay, "peers": row.peers, "ratio": row.ratio,
                "bound": row.bound, "holds": row.holds,
            })
        });
        rows.collect()
    }
}

/// Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a document.
///
/// # Errors
/// The document or its markers are missing.
pub(super) fn replace_between(document: &Path, name: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let new = replaced(&old, name, text)
        .with_context(|| format!("{} has no place for {name}", document.display()))?;
    Ok(fs::write(document, new)?)
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let start = old.find(&open)? + open.len();
    let end = start + old[start..].find(&close)?;
    Some(format!("{}\n\n{}\n\n{}", &old[..start], text.trim(), &old[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_replaced_between_its_markers_only() {
        let old = "a\n<!-- x -->\nold\n<!-- /x -->\nz";
        assert_eq!(replaced(old, "x", "new").unwrap(), "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nz");
        assert_eq!(replaced(old, "y", "new"), None);
    }

    #[test]
    fn a_bound_that_does_not_hold_is_seen() {
        let row = Row {
            measure: "m".into(),
            relay: "1".into(),
            peers: vec!["2".into()],
            ratio: Some(0.5),
            bound: ">= 5".into(),
            holds: Some(false),
        };
        assert!(Table { rows: vec![row] }.markdown(&["peer"]).contains("| 0.50  | >= 5  | **no** |"));
    }
}
