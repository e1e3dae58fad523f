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

/// How input becomes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is one message, also when it is empty. What is too large for that is known by its first piece.
    Whole,
    /// Pieces of the largest size, each as soon as it is read. Empty input is none.
    Pieces {
        /// What each message begins with, before the bytes of the input.
        prefix: &'static [u8],
    },
    /// One for each line, without its end. Empty input is none.
    Lines,
}

/// Reads `input` on a thread of its own, since reading a pipe or a terminal blocks, and gives messages with at most `bytes_max` bytes of it.
pub fn read_pieces(input: impl Read + Send + 'static, bytes_max: usize, cut: Cut) -> Outgoing {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || {
        let mut input = BufReader::new(input);
        if let Err(error) = match cut {
            Cut::Lines => cut_lines(&mut input, bytes_max, &sender),
            Cut::Whole => take_whole(&mut input, bytes_max, &sender),
            Cut::Pieces { prefix } => cut_pieces(&mut input, bytes_max, prefix, &sender),
        } {
            // Whoever no longer listens does not want the error either.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn take_whole(
    input: &mut impl BufRead,
    bytes_max: usize,
    sender: &mpsc::Sender<io::Result<Piece>>,
) -> io::Result<()> {
    let mut payload = Vec::new();
    let bytes = input.by_ref().take(bytes_max as u64).read_to_end(&mut payload)?;
    let is_last = bytes < bytes_max || input.fill_buf()?.is_empty();
    let _ = sender.blocking_send(Ok(Piece { payload, is_last }));
    Ok(())
}

fn cut_pieces(
    input: &mut impl BufRead,
    bytes_max: usize,
    prefix: &[u8],
    sender: &mpsc::Sender<io::Result<Piece>>,
) -> io::Result<()> {
    loop {
        let mut payload = prefix.to_vec();
        let bytes = input.by_ref().take(bytes_max as u64).read_to_end(&mut payload)?;
        let is_last = bytes < bytes_max;
        if bytes == 0 || sender.blocking_send(Ok(Piece { payload, is_last })).is_err() || is_last {
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
        if input.by_ref().take((bytes_max as u64).saturating_add(2)).read_until(b'\n', &mut payload)? == 0 {
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

    fn pieces(input: &'static [u8], bytes_max: usize, cut: Cut) -> Vec<io::Result<Piece>> {
        let mut receiver = read_pieces(input, bytes_max, cut);
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    fn payloads(input: &'static [u8], bytes_max: usize, cut: Cut) -> Vec<Vec<u8>> {
        pieces(input, bytes_max, cut).into_iter().map(|piece| piece.unwrap().payload).collect()
    }

    #[test]
    fn a_whole_message_is_told_from_a_part_of_one() {
        for (input, payload, is_last) in [
            (&b""[..], &b""[..], true),
            (b"abc", b"abc", true),
            (b"abcd", b"abcd", true),
            (b"abcde", b"abcd", false),
        ] {
            let piece = Piece { payload: payload.to_vec(), is_last };
            let pieces = pieces(input, 4, Cut::Whole);
            assert_eq!((pieces.len(), pieces[0].as_ref().unwrap()), (1, &piece));
        }
    }

    #[test]
    fn input_is_cut_at_the_limit_and_each_piece_begins_with_the_prefix() {
        let cut = Cut::Pieces { prefix: b"d:" };
        assert_eq!(payloads(b"abcdef", 4, cut), [&b"d:abcd"[..], b"d:ef"]);
        assert_eq!(payloads(b"abcd", 4, cut), [b"d:abcd"]);
        assert_eq!(payloads(b"", 4, cut), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn lines_lose_their_ends_and_must_fit() {
        assert_eq!(payloads(b"a\r\n\nlong\nb", 4, Cut::Lines), [&b"a"[..], b"", b"long", b"b"]);
        assert_eq!(payloads(b"", 4, Cut::Lines), Vec::<Vec<u8>>::new());
        assert!(pieces(b"12345\n", 4, Cut::Lines)[0].is_err());
    }
}
