//! Lines of an input that can only be read by waiting for it, such as a terminal.

use std::{
    io::{BufRead, Read},
    thread,
};

use tokio::sync::mpsc;

/// A longer line is passed on in pieces.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What comes from a person or a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line without its end.
    Line(Vec<u8>),
    /// The end of the input, or an error that ends it.
    End,
}

/// Reads lines on a thread of its own, one ahead of who receives them. A thread that waits for a terminal cannot be stopped; it ends
/// with the program.
pub fn read_lines(mut reader: impl BufRead + Send + 'static) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let input = if matches!(read, Ok(1..)) { Input::Line(line_content(line)) } else { Input::End };
            let is_end = input == Input::End;
            if sender.blocking_send(input).is_err() || is_end {
                return;
            }
        }
    });
    receiver
}

fn line_content(mut line: Vec<u8>) -> Vec<u8> {
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_without_their_ends_and_long_ones_in_pieces() {
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        let text = [b"one\ntwo\r\n\n\xff", &long[..], b"\nlast"].concat();
        let mut lines = read_lines(std::io::Cursor::new(text));
        let mut seen = Vec::new();
        while let Some(Input::Line(line)) = lines.recv().await {
            seen.push(line);
        }
        assert_eq!(seen[..3], [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
        assert_eq!(seen[3..5].concat(), [b"\xff", &long[..]].concat());
        assert_eq!(seen[5..], [b"last".to_vec()]);
    }
}
