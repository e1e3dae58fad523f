//! What was measured: every single value, by who took part, and what is to be reached.

use serde::{Deserialize, Serialize};

use crate::{
    stats::{Ratio, median, paired_ratio},
    unit::Unit,
};

/// How the program itself is called in every row.
pub(crate) const RELAY: &str = "relay";

/// The rows of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The suite.
    pub(crate) name: String,
    /// The command, the machine and the versions, in words.
    pub(crate) about: String,
    pub(crate) rows: Vec<Row>,
    /// Measures that broke, each with its reason. They are no figures, so they are not kept.
    #[serde(skip)]
    pub(crate) failures: Vec<String>,
}

/// One measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    /// Who took part, or under what circumstances.
    pub(crate) figures: Vec<Figure>,
    /// Whose figure the ratio and the bound are about.
    pub(crate) subject: String,
    /// Whom it is compared with: the best of these.
    pub(crate) rivals: Vec<String>,
    pub(crate) bound: Option<Bound>,
}

/// What one of those who took part did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) who: String,
    /// One value for each round; none where it was not measured.
    pub(crate) values: Vec<f64>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) missing: Option<String>,
}

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// The ratio.
    AtLeastTimes(f64),
    /// The ratio.
    AtMostTimes(f64),
    /// The ratio may be worse than 1 by this share.
    Within(f64),
    /// The figure itself.
    AtLeast(f64),
    /// The figure itself.
    AtMost(f64),
}

impl Figure {
    /// The figure that counts.
    pub(crate) fn median(&self) -> Option<f64> {
        (!self.values.is_empty()).then(|| median(&self.values))
    }
}

impl Row {
    pub(crate) fn new(measure: impl Into<String>, unit: Unit, better: Better) -> Self {
        Self {
            measure: measure.into(),
            unit,
            better,
            figures: Vec::new(),
            subject: RELAY.to_owned(),
            rivals: Vec::new(),
            bound: None,
        }
    }

    /// Adds what `who` did. A value that is no number was not measured.
    pub(crate) fn figure(mut self, who: &str, values: &[f64]) -> Self {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let missing = values.is_empty().then(|| "not measured".to_owned());
        self.figures.push(Figure { who: who.to_owned(), values, missing });
        self
    }

    /// Says why `who` did not take part.
    pub(crate) fn missing(mut self, who: &str, reason: &str) -> Self {
        let missing = Some(reason.to_owned());
        self.figures.push(Figure { who: who.to_owned(), values: Vec::new(), missing });
        self
    }

    /// Has the ratio and the bound be about this one instead of the relay.
    pub(crate) fn about(mut self, subject: &str) -> Self {
        self.subject = subject.to_owned();
        self
    }

    /// Compares it with the best of these.
    pub(crate) fn against(mut self, rivals: &[&str]) -> Self {
        self.rivals = rivals.iter().map(|who| (*who).to_owned()).collect();
        self
    }

    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// The figure that is compared.
    pub(crate) fn own(&self) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.who == self.subject)
    }

    /// The best of the rivals.
    pub(crate) fn rival(&self) -> Option<&Figure> {
        let rivals = self.figures.iter().filter(|figure| self.rivals.contains(&figure.who));
        let known = rivals.filter_map(|figure| Some((figure, figure.median()?)));
        let best = match self.better {
            Better::Higher => known.max_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Lower => known.min_by(|a, b| a.1.total_cmp(&b.1)),
        };
        best.map(|(figure, _)| figure)
    }

    /// The subject's figure by that of the best rival.
    pub(crate) fn ratio(&self) -> Option<Ratio> {
        paired_ratio(&self.own()?.values, &self.rival()?.values)
    }

    /// Whether the bound holds; nothing without a bound, and where it cannot be said.
    pub(crate) fn holds(&self) -> Option<bool> {
        let ratio = || self.ratio().map(|ratio| ratio.median);
        let own = || self.own()?.median();
        match self.bound? {
            Bound::AtLeastTimes(times) => Some(ratio()? >= times),
            Bound::AtMostTimes(times) => Some(ratio()? <= times),
            Bound::Within(share) => Some(match self.better {
                Better::Higher => ratio()? >= 1.0 - share,
                Better::Lower => ratio()? <= 1.0 + share,
            }),
            Bound::AtLeast(value) => Some(own()? >= value),
            Bound::AtMost(value) => Some(own()? <= value),
        }
    }

    /// The bound in words.
    pub(crate) fn bound_in_words(&self) -> String {
        match self.bound {
            None => String::new(),
            Some(Bound::AtLeastTimes(times)) => format!("at least {times} times"),
            Some(Bound::AtMostTimes(times)) => format!("at most {times} times"),
            Some(Bound::Within(share)) => format!("at most {:.0} % worse", share * 100.0),
            Some(Bound::AtLeast(value)) => format!("at least {}", self.unit.show(value)),
            Some(Bound::AtMost(0.0)) => "none".to_owned(),
            Some(Bound::AtMost(value)) => format!("at most {}", self.unit.show(value)),
        }
    }

    /// The row in a line, for the terminal.
    pub(crate) fn line(&self) -> String {
        let figures = self.figures.iter().map(|figure| match (figure.median(), &figure.missing) {
            (Some(median), _) => format!("{} {}", figure.who, self.unit.show(median)),
            (None, reason) => format!("{}: {}", figure.who, reason.as_deref().unwrap_or("not measured")),
        });
        let figures = figures.collect::<Vec<_>>().join(", ");
        let ratio = self.ratio().map_or_else(String::new, |r| format!("; {}", shown_ratio(r)));
        let holds = if self.holds() == Some(false) { "; DOES NOT HOLD" } else { "" };
        format!("{}: {figures}{ratio}{holds}", self.measure)
    }
}

/// `2.08 [1.99, 2.14]`
pub(crate) fn shown_ratio(ratio: Ratio) -> String {
    let Ratio { median, low, high } = ratio;
    format!("{median:.2} [{low:.2}, {high:.2}]")
}

impl Section {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), about: String::new(), rows: Vec::new(), failures: Vec::new() }
    }

    /// Adds a row and shows it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("  {}", row.line());
        self.rows.push(row);
    }

    /// Everyone who took part in any row, in the order of their first.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns = Vec::new();
        for who in self.rows.iter().flat_map(|row| &row.figures).map(|figure| figure.who.as_str()) {
            if !columns.contains(&who) {
                columns.push(who);
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better) -> Row {
        Row::new("m", Unit::Count, better)
            .figure(RELAY, &[2.0, 2.0, 2.0])
            .figure("slow", &[1.0, 1.0, 1.0])
            .figure("fast", &[4.0, 4.0, 4.0])
            .against(&["slow", "fast"])
    }

    #[test]
    fn the_rival_is_the_best_one() {
        assert_eq!(row(Better::Higher).ratio().unwrap().median, 0.5);
        assert_eq!(row(Better::Lower).ratio().unwrap().median, 2.0);
    }

    #[test]
    fn bounds_are_judged_by_the_ratio_or_by_the_figure() {
        let holds = |bound| row(Better::Higher).bound(bound).holds().unwrap();
        assert!(holds(Bound::AtLeastTimes(0.5)) && !holds(Bound::AtLeastTimes(0.51)));
        assert!(holds(Bound::AtMostTimes(0.5)) && !holds(Bound::AtMostTimes(0.49)));
        assert!(holds(Bound::Within(0.5)) && !holds(Bound::Within(0.49)));
        assert!(holds(Bound::AtLeast(2.0)) && !holds(Bound::AtLeast(2.1)));
        assert!(holds(Bound::AtMost(2.0)) && !holds(Bound::AtMost(1.9)));
    }

    #[test]
    fn what_was_not_measured_has_no_verdict_and_says_why() {
        let row = Row::new("m", Unit::Count, Better::Lower)
            .figure(RELAY, &[f64::NAN])
            .missing("peer", "run apt install peer")
            .against(&["peer"])
            .bound(Bound::AtMostTimes(1.0));
        assert_eq!(row.holds(), None);
        assert_eq!(row.line(), "m: relay: not measured, peer: run apt install peer");
    }

    #[test]
    fn rows_survive_their_json() {
        let row = row(Better::Higher).missing("x", "y").bound(Bound::Within(0.1));
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }
}
