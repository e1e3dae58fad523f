//! What an upload sends: the header, then the file, hashed on the way.

use std::io;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::lab::ClientError;

/// How much is read from the file and sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// What is still to be sent: the header, then the file.
pub(super) struct Outgoing<F> {
    file: F,
    /// Read from the file; from `start` on it was not sent yet.
    unsent: Vec<u8>,
    start: usize,
    size: u64,
    /// Bytes of the file that were not read yet.
    unread: u64,
    hash: Sha256,
}

impl<F: AsyncRead + Unpin> Outgoing<F> {
    /// The header with `name`, then `size` bytes of `file`.
    pub(super) fn new(name: &[u8], size: u64, file: F) -> Self {
        let unsent = [name, b"\n", &size.to_be_bytes()].concat();
        Self { file, unsent, start: 0, size, unread: size, hash: Sha256::new() }
    }

    /// What is to be sent next; empty also before [`Self::refill`].
    pub(super) fn unsent(&self) -> &[u8] {
        self.unsent.get(self.start..).unwrap_or_default()
    }

    /// Takes note that so many bytes of it were sent.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Whether that was all.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent().is_empty() && self.unread == 0
    }

    /// How many bytes of the file were sent.
    pub(super) fn progress(&self) -> u64 {
        (self.size - self.unread).saturating_sub(self.unsent().len() as u64)
    }

    /// Reads on in the file when everything that was read is sent; whether it did.
    pub(super) async fn refill(&mut self) -> Result<bool, ClientError> {
        if !self.unsent().is_empty() || self.unread == 0 {
            return Ok(false);
        }
        self.start = 0;
        let wanted = usize::try_from(self.unread).unwrap_or(usize::MAX).min(PIECE_BYTES);
        self.unsent.resize(wanted, 0);
        let n = self.file.read(&mut self.unsent).await.map_err(ClientError::File)?;
        self.unsent.truncate(n);
        if n == 0 {
            let shorter = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was sent");
            return Err(ClientError::File(shorter));
        }
        self.hash.update(&self.unsent);
        self.unread -= n as u64;
        Ok(true)
    }

    /// The SHA-256 of what was read of the file.
    pub(super) fn into_hash(self) -> impl AsRef<[u8]> {
        self.hash.finalize()
    }
}
