//! What a figure counts, and how it is written.

use serde::{Deserialize, Serialize};

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Things a second.
    Rate,
    /// Seconds.
    Time,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Hundredths.
    Percent,
    /// Things.
    Count,
}

impl Unit {
    /// The value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Rate if value >= 1e6 => format!("{:.2} million", value / 1e6),
            Self::Rate => grouped(value),
            Self::Time if value < 1e-6 => format!("{:.0} ns", value * 1e9),
            Self::Time if value < 1e-5 => format!("{:.1} us", value * 1e6),
            Self::Time if value < 1e-2 => format!("{} us", grouped(value * 1e6)),
            Self::Time if value < 1e-1 => format!("{:.1} ms", value * 1e3),
            Self::Time => format!("{value:.2} s"),
            Self::Bytes if value < 1e5 => format!("{} B", grouped(value)),
            Self::Bytes => format!("{:.2} MB", value / 1e6),
            Self::BytesPerSecond if value >= 1e9 => format!("{:.2} GB/s", value / 1e9),
            Self::BytesPerSecond => format!("{:.2} MB/s", value / 1e6),
            Self::Percent => format!("{value:.2} %"),
            Self::Count if value >= 100.0 || value.fract() == 0.0 => grouped(value),
            Self::Count if value >= 1.0 => format!("{value:.1}"),
            Self::Count => format!("{value:.4}"),
        }
    }
}

/// `12,345`
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut out = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_their_unit() {
        let shown = [
            (Unit::Rate, 84_280_000.0, "84.28 million"),
            (Unit::Rate, 12_345.0, "12,345"),
            (Unit::Time, 19e-9, "19 ns"),
            (Unit::Time, 5.1e-6, "5.1 us"),
            (Unit::Time, 1_525e-6, "1,525 us"),
            (Unit::Time, 0.35, "0.35 s"),
            (Unit::Bytes, 1_468.0, "1,468 B"),
            (Unit::Bytes, 1_656_456.0, "1.66 MB"),
            (Unit::BytesPerSecond, 1.67e9, "1.67 GB/s"),
            (Unit::BytesPerSecond, 5.95e6, "5.95 MB/s"),
            (Unit::Percent, 0.061, "0.06 %"),
            (Unit::Count, 20.0, "20"),
            (Unit::Count, 5.25, "5.2"),
            (Unit::Count, 0.0213, "0.0213"),
        ];
        for (unit, value, text) in shown {
            assert_eq!(unit.show(value), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 1_234_567.0, -1000.0].map(grouped),
            ["0", "999", "1,000", "1,234,567", "-1,000"]
        );
    }
}
