//! What peers sent, made fit for a line of the log or a terminal.

use std::fmt;

use crate::wire::Escaped;

/// How much of a message a log line shows, in bytes.
const PREVIEW_BYTES: usize = 200;

/// The beginning of a message on one line: control bytes escaped, what is left out counted.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a>(pub &'a [u8]);

impl fmt::Display for Preview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(PREVIEW_BYTES) {
            Some((start, rest)) if !rest.is_empty() => {
                write!(f, "{}… and {} bytes more", Escaped(start), rest.len())
            }
            _ => Escaped(self.0).fmt(f),
        }
    }
}

/// Makes a stream of bytes fit for a terminal: lines and tabs stay, everything else that could steer it is escaped. Characters may
/// arrive in parts.
#[derive(Debug, Default)]
pub struct TerminalText {
    /// The beginning of a character whose rest has not arrived; at most three bytes.
    partial: Vec<u8>,
}

impl TerminalText {
    /// What to show of everything that has arrived so far and was not shown.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.partial);
        let whole = match std::str::from_utf8(&all) {
            // No length means that more bytes could still make it a character.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => incomplete_tail(&all),
        };
        let (shown, rest) = all.split_at_checked(whole).unwrap_or((&all, &[]));
        self.partial = rest.to_vec();
        escape(shown)
    }

    /// What to show of a character that will not be completed.
    pub fn finish(&mut self) -> String {
        escape(&std::mem::take(&mut self.partial))
    }
}

/// Where a character begins at the end of `bytes` that is not complete yet; their length if there is none.
fn incomplete_tail(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let start = bytes.len() - back;
        let tail = bytes.get(start..).unwrap_or_default();
        if let Err(error) = std::str::from_utf8(tail)
            && error.valid_up_to() == 0
            && error.error_len().is_none()
        {
            return start;
        }
    }
    bytes.len()
}

fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if i > 0 {
            shown.push('\n');
        }
        // The lines of Windows end in `\r\n`; the `\r` is part of the line's end there.
        let is_last = i == bytes.iter().filter(|b| **b == b'\n').count();
        let line = if is_last { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
        for (j, cell) in line.split(|b| *b == b'\t').enumerate() {
            if j > 0 {
                shown.push('\t');
            }
            shown.push_str(&unescaped_backslashes(cell));
        }
    }
    shown
}

/// `Escaped`, with backslashes as they came: a person who reads a path does not want them doubled.
fn unescaped_backslashes(cell: &[u8]) -> String {
    let parts: Vec<_> = cell.split(|b| *b == b'\\').map(|part| Escaped(part).to_string()).collect();
    parts.join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_and_short() {
        assert_eq!(Preview(b"a\nb\x1b[2J\xff").to_string(), r"a\nb\u{1b}[2J\xff");
        let long = Preview(&[b'x'; 250]).to_string();
        assert_eq!(long, format!("{}… and 50 bytes more", "x".repeat(200)));
        assert_eq!(Preview(&[b'x'; 200]).to_string(), "x".repeat(200));
    }

    #[test]
    fn a_terminal_gets_lines_and_nothing_that_steers_it() {
        let mut text = TerminalText::default();
        assert_eq!(text.push(b"a\tb\r\nC:\\x\x1b]0;title\x07\r"), "a\tb\nC:\\x\\u{1b}]0;title\\u{7}\\r");
        assert_eq!(text.push("\u{9b}31m\u{202e}é".as_bytes()), "\\u{9b}31m\\u{202e}é");
    }

    #[test]
    fn characters_in_parts_are_shown_whole_and_broken_ones_escaped() {
        let mut text = TerminalText::default();
        let shown: String = "añ€😀z".as_bytes().iter().map(|b| text.push(&[*b])).collect();
        assert_eq!(shown + &text.finish(), "añ€😀z");
        assert_eq!(text.push(b"\xff\xf0\x9f"), "\\xff");
        assert_eq!(text.push(b"x"), "\\xf0\\x9fx");
        assert_eq!(text.push(b"\xe2\x82"), "");
        assert_eq!(text.finish(), "\\xe2\\x82");
    }
}
