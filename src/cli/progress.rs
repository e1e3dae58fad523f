//! How far a long transfer has come, for a person who watches.

use std::{
    cell::Cell,
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use crate::size::ByteSize;

/// Time between two drawings: often enough to look alive, too seldom to cost anything.
const REDRAW: Duration = Duration::from_millis(100);

/// The length of the bar in characters. With the figures behind it a line stays below 80, where narrow terminals would wrap it.
const BAR_CHARS: usize = 24;

/// A bar on standard error while that is a terminal, nothing otherwise. It disappears when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    total: Option<u64>,
    started: Instant,
    drawn: Cell<Option<Instant>>,
    is_visible: bool,
    /// Characters of the line that is drawn, to cover them all with the next one: not every terminal knows how to erase.
    width: Cell<usize>,
}

impl Progress {
    /// A bar for `total` bytes; without a total it counts them.
    pub(crate) fn new(total: Option<u64>) -> Self {
        Self {
            total,
            started: Instant::now(),
            drawn: Cell::new(None),
            is_visible: stderr().is_terminal(),
            width: Cell::new(0),
        }
    }

    /// So many bytes are through.
    pub(crate) fn set(&self, bytes: u64) {
        // The end is always drawn: an answer may be waited for behind it.
        let is_early =
            self.drawn.get().is_some_and(|drawn| drawn.elapsed() < REDRAW) && Some(bytes) != self.total;
        if !self.is_visible || is_early {
            return;
        }
        self.drawn.set(Some(Instant::now()));
        self.draw(&line(bytes, self.total, self.started.elapsed()));
    }

    fn draw(&self, line: &str) {
        let width = line.chars().count();
        let text = format!("\r{line:<old$}", old = self.width.get());
        self.width.set(width);
        // Whoever closed standard error does not want to know.
        let mut out = stderr();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width.get() > 0 {
            self.draw("");
            self.draw("");
        }
    }
}

/// One drawing, such as `[======                  ]  25%  1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6 s left`.
fn line(bytes: u64, total: Option<u64>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let rate = bytes as f64 / seconds;
    let done = ByteSize(bytes);
    let per_second = ByteSize(rate as u64);
    let Some(total) = total else {
        return format!("{done}, {per_second}/s, {seconds:.0} s");
    };
    let fraction = if total == 0 { 1.0 } else { (bytes as f64 / total as f64).min(1.0) };
    let bar = "=".repeat((fraction * BAR_CHARS as f64) as usize);
    let left = if rate > 0.0 {
        format!(", {:.0} s left", total.saturating_sub(bytes) as f64 / rate)
    } else {
        String::new()
    };
    let percent = (fraction * 100.0) as u32;
    format!("[{bar:<BAR_CHARS$}] {percent:>3}%  {done} of {}, {per_second}/s{left}", ByteSize(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_how_fast_and_how_long() {
        assert_eq!(
            line(1 << 20, Some(4 << 20), Duration::from_secs(2)),
            "[======                  ]  25%  1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6 s left"
        );
        assert_eq!(line(2048, None, Duration::from_secs(2)), "2.0 KiB, 1.0 KiB/s, 2 s");
    }

    #[test]
    fn the_extremes_fit_too() {
        assert!(line(0, Some(0), Duration::ZERO).starts_with("[========================] 100%"));
        assert!(line(0, Some(9), Duration::ZERO).ends_with("0 B of 9 B, 0 B/s"));
        let most = line(u64::MAX, Some(u64::MAX), Duration::from_secs(1));
        assert!(most.chars().count() < 80, "{most}");
    }
}
