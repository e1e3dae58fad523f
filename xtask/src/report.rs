//! What a person sees of the progress, on a terminal and in a pipe.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// `[2/7] clippy`: the heading of a step.
pub(crate) fn step(number: usize, of: usize, what: &str) {
    let heading = format!("[{number}/{of}] {what}");
    if io::stdout().is_terminal() { println!("\x1b[1m{heading}\x1b[0m") } else { println!("{heading}") }
}

/// A line that the next one replaces; nothing where the output is kept.
pub(crate) fn transient(line: &str) {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        // Progress that cannot be shown is no reason to stop. Longer lines would wrap and stay.
        let short: String = line.chars().take(78).collect();
        let _ = write!(stdout, "\r\x1b[K{short}").and_then(|()| stdout.flush());
    }
}

/// Removes the transient line.
pub(crate) fn clear() {
    transient("");
}

/// Columns under their headings, as wide as they need to be.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let lines = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `1.40 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

/// `2 m 03 s`, or `4.1 s` where that is all.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{}.{} s", seconds, time.subsec_millis() / 100)
    } else {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long".to_owned(), "2".to_owned()]];
        assert_eq!(table(["x", "y"], &rows), "x     y\na     1\nlong  2\n");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(megabytes(1_399_999), "1.39 MB");
        assert_eq!(megabytes(2_050_000), "2.05 MB");
        assert_eq!(duration(Duration::from_millis(4_120)), "4.1 s");
        assert_eq!(duration(Duration::from_secs(123)), "2 m 03 s");
    }
}
