//! Tables that read well on a terminal, too.

use std::fmt::Write;

use crate::results::{Section, shown_ratio};

impl Section {
    /// What was measured where, and the rows, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.columns();
        let heading = ["measure"].iter().chain(&columns).chain(&["ratio", "bound", "holds"]);
        let mut cells: Vec<Vec<String>> = vec![heading.map(|cell| (*cell).to_owned()).collect()];
        let mut reasons = Vec::new();
        for row in &self.rows {
            let mut line = vec![row.measure.clone()];
            line.extend(columns.iter().map(|who| {
                let Some(figure) = row.figures.iter().find(|figure| figure.who == *who) else {
                    return String::new();
                };
                if let Some(median) = figure.median() {
                    return row.unit.show(median);
                }
                if let Some(reason) = &figure.missing
                    && !reasons.contains(reason)
                {
                    reasons.push(reason.clone());
                }
                "not measured".to_owned()
            }));
            let holds = match row.holds() {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let ratio = row.ratio().map_or_else(String::new, shown_ratio);
            line.extend([ratio, row.bound_in_words(), holds.to_owned()]);
            cells.push(line);
        }
        let mut out = format!("{}\n\n{}", self.about, aligned(&cells));
        reasons.retain(|reason| reason != "not measured");
        if !reasons.is_empty() {
            let _ = write!(out, "\nNot measured: {}.\n", reasons.join("; "));
        }
        out
    }
}

/// Rows of cells, the first of which is the heading, with columns in line.
fn aligned(cells: &[Vec<String>]) -> String {
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..cells.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for (number, row) in cells.iter().enumerate() {
        let line: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "| {} |", line.join(" | "));
        if number == 0 {
            let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(out, "| {} |", rule.join(" | "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::{
        results::{Better, Bound, RELAY, Row, Section},
        unit::Unit,
    };

    #[test]
    fn a_row_has_its_ratio_with_the_interval_and_a_bound_that_does_not_hold_is_seen() {
        let row = Row::new("m", Unit::Count, Better::Higher)
            .figure(RELAY, &[1.0, 2.0, 3.0])
            .figure("peer", &[2.0, 2.0, 2.0])
            .missing("other", "apt install other")
            .against(&["peer"])
            .bound(Bound::AtLeastTimes(5.0));
        let section = Section { name: "s".into(), about: "About.".into(), rows: vec![row], failures: vec![] };
        let text = section.markdown();
        assert!(text.starts_with("About.\n\n| measure | relay | peer | other        | ratio"), "{text}");
        assert!(
            text.contains("| 2     | 2    | not measured | 1.00 [0.50, 1.50] | at least 5 times | **no** |")
        );
        assert!(text.ends_with("Not measured: apt install other.\n"), "{text}");
    }
}
