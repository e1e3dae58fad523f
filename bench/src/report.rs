//! What a person sees of the progress, on a terminal and in a pipe.

use std::io::{self, IsTerminal, Write};

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

/// `1.40 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}
