//! Reading lines, numbers and pieces from a connection through one buffer.

use crate::lab::{Connection, PeerError, Stop};

/// How much is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A connection with what has arrived and was not asked for yet.
#[derive(Debug)]
pub(in crate::lab) struct Inbound<'a> {
    connection: &'a mut Connection,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Inbound<'a> {
    pub(in crate::lab) fn new(connection: &'a mut Connection) -> Self {
        Self { connection, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// The connection, to write on.
    pub(in crate::lab) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads more when nothing is held; `false` at the end.
    async fn fill(&mut self) -> Result<bool, PeerError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.connection.read(&mut self.buffer).await?;
        }
        Ok(self.start < self.end)
    }

    /// Whether the peer begins another message; a stop says no.
    pub(in crate::lab) async fn has_more(&mut self, stop: &mut Stop) -> Result<bool, PeerError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.connection.read_unless(stop, &mut self.buffer).await?;
        }
        Ok(self.start < self.end)
    }

    /// Everything up to a line feed, without it; `None` when there is none in `limit` bytes.
    pub(in crate::lab) async fn line(&mut self, limit: usize) -> Result<Option<Vec<u8>>, PeerError> {
        let mut line = Vec::new();
        while line.len() <= limit {
            if !self.fill().await? {
                return Err(PeerError::Closed("a line"));
            }
            let held = self.held();
            match held.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    line.extend_from_slice(held.get(..at).unwrap_or_default());
                    self.start += at + 1;
                    return Ok((line.len() <= limit).then_some(line));
                }
                None => {
                    line.extend_from_slice(held);
                    self.start = self.end;
                }
            }
        }
        Ok(None)
    }

    /// Exactly `N` bytes; `what` names them should the connection end inside.
    pub(in crate::lab) async fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], PeerError> {
        let mut array = [0; N];
        for byte in &mut array {
            if !self.fill().await? {
                return Err(PeerError::Closed(what));
            }
            *byte = self.held().first().copied().unwrap_or_default();
            self.start += 1;
        }
        Ok(array)
    }

    /// The next bytes, at most `limit`; none at the end.
    pub(in crate::lab) async fn piece(&mut self, limit: u64) -> Result<&[u8], PeerError> {
        self.fill().await?;
        let n = usize::try_from(limit).unwrap_or(usize::MAX).min(self.end - self.start);
        let from = self.start;
        self.start += n;
        Ok(self.buffer.get(from..from + n).unwrap_or_default())
    }
}
