//! Input of any length, cut into messages while it is read.

use std::{
    io::{self, BufRead, BufReader, Read},
    thread,
};

use tokio::sync::mpsc;

/// Pieces read ahead of the one that is being sent.
const READ_AHEAD: usize = 2;

/// Where the pieces come from.
pub type Outgoing = mpsc::Receiver<io::Result<Piece>>;

/// One message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The payload.
    pub payload: Vec<u8>,
    /// Nothing comes behind it.
    pub is_last: bool,
}

/// Reads `input` on a thread of its own, since reading a pipe or a terminal blocks, and gives messages of at most `bytes_max`; with
/// `lines`, one for each line, without its end. An empty input is one empty message, except with `lines`.
pub fn read_pieces(input: impl Read + Send + 'static, bytes_max: usize, lines: bool) -> Outgoing {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || {
        let mut input = BufReader::new(input);
        if let Err(error) = if lines {
            cut_lines(&mut input, bytes_max, &sender)
        } else {
            cut(&mut input, bytes_max, &sender)
        } {
            // Whoever no longer listens does not want the error either.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn cut(
    input: &mut impl BufRead,
    bytes_max: usize,
    sender: &mpsc::Sender<io::Result<Piece>>,
) -> io::Result<()> {
    loop {
        let mut payload = Vec::new();
        input.by_ref().take(bytes_max as u64).read_to_end(&mut payload)?;
        let is_last = payload.len() < bytes_max || input.fill_buf()?.is_empty();
        if sender.blocking_send(Ok(Piece { payload, is_last })).is_err() || is_last {
            return Ok(());
        }
    }
}

fn cut_lines(
    input: &mut impl BufRead,
    bytes_max: usize,
    sender: &mpsc::Sender<io::Result<Piece>>,
) -> io::Result<()> {
    loop {
        let mut payload = Vec::new();
        // Two more than the limit, for the end of the line.
        if input.by_ref().take(bytes_max as u64 + 2).read_until(b'\n', &mut payload)? == 0 {
            return Ok(());
        }
        if payload.last() == Some(&b'\n') {
            payload.pop();
            payload.pop_if(|byte| *byte == b'\r');
        }
        if payload.len() > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line is longer than {bytes_max} bytes"),
            ));
        }
        if sender.blocking_send(Ok(Piece { payload, is_last: false })).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(input: &'static [u8], bytes_max: usize, lines: bool) -> Vec<io::Result<Piece>> {
        let mut receiver = read_pieces(input, bytes_max, lines);
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    fn payloads(input: &'static [u8], bytes_max: usize, lines: bool) -> Vec<Vec<u8>> {
        pieces(input, bytes_max, lines).into_iter().map(|piece| piece.unwrap().payload).collect()
    }

    #[test]
    fn input_is_cut_at_the_limit_and_its_last_piece_is_known() {
        assert_eq!(payloads(b"abcdef", 4, false), [&b"abcd"[..], b"ef"]);
        assert_eq!(payloads(b"abcd", 4, false), [b"abcd"]);
        assert_eq!(payloads(b"", 4, false), [b""]);
        assert!(pieces(b"abcd", 4, false).last().unwrap().as_ref().unwrap().is_last);
    }

    #[test]
    fn lines_lose_their_ends_and_must_fit() {
        assert_eq!(payloads(b"a\r\n\nlong\nb", 4, true), [&b"a"[..], b"", b"long", b"b"]);
        assert_eq!(payloads(b"", 4, true), Vec::<Vec<u8>>::new());
        assert!(pieces(b"12345\n", 4, true)[0].is_err());
    }
}
