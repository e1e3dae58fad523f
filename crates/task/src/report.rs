//! What a person sees of the progress, on a terminal and in a pipe.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// `[2/7] clippy`: the heading of a step.
pub fn step(number: usize, of: usize, what: &str) {
    let heading = format!("[{number}/{of}] {what}");
    if io::stdout().is_terminal() { println!("\x1b[1m{heading}\x1b[0m") } else { println!("{heading}") }
}

/// A line that the next one replaces; nothing where the output is kept.
pub fn transient(line: &str) {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        // Progress that cannot be shown is no reason to stop. Longer lines would wrap and stay.
        let short: String = line.chars().take(78).collect();
        let _ = write!(stdout, "\r\x1b[K{short}").and_then(|()| stdout.flush());
    }
}

/// Removes the transient line.
pub fn clear() {
    transient("");
}

/// `2 m 03 s`, or `4.1 s` where that is all.
pub fn duration(time: Duration) -> String {
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
    fn times_are_short() {
        assert_eq!(duration(Duration::from_millis(4_120)), "4.1 s");
        assert_eq!(duration(Duration::from_secs(123)), "2 m 03 s");
    }
}
