//! Frames of a 4-byte big-endian length and so many bytes. A length is never allocated before its bytes arrive.

use super::{Connection, PeerError, Stop};

/// How much memory is taken before any byte of a frame has arrived.
const FIRST_BYTES: usize = 16 << 10;

/// The length before a frame, in bytes.
const LENGTH_BYTES: usize = 4;

/// Reads the length of the next frame; `None` when the conversation ends before it. A stop counts as the end only here.
///
/// # Errors
/// [`PeerError::Closed`] inside the length, and what [`Connection::read`] reports.
pub(super) async fn read_length(
    connection: &mut Connection,
    stop: Option<&mut Stop>,
) -> Result<Option<u32>, PeerError> {
    let mut length = [0; LENGTH_BYTES];
    let mut have = match stop {
        Some(stop) => connection.read_unless(stop, &mut length).await?,
        None => connection.read(&mut length).await?,
    };
    if have == 0 {
        return Ok(None);
    }
    while let Some(rest) = length.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match connection.read(rest).await? {
            0 => return Err(PeerError::Closed("the length of a frame")),
            n => have += n,
        }
    }
    Ok(Some(u32::from_be_bytes(length)))
}

/// Reads the bytes of a frame of `length`, which is at most `limit`.
///
/// # Errors
/// [`PeerError::TooLarge`] before anything is read, [`PeerError::Closed`] inside, and what [`Connection::read`] reports.
pub(super) async fn read_body(
    connection: &mut Connection,
    length: u32,
    limit: usize,
) -> Result<Vec<u8>, PeerError> {
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if wanted > limit {
        return Err(PeerError::TooLarge { announced: length.into(), limit: limit as u64 });
    }
    let mut body = vec![0; wanted.min(FIRST_BYTES)];
    let mut have = 0;
    while have < wanted {
        if have == body.len() {
            body.resize(wanted.min(have * 2), 0);
        }
        match connection.read(body.get_mut(have..).unwrap_or_default()).await? {
            0 => return Err(PeerError::Closed("a frame")),
            n => have += n,
        }
    }
    Ok(body)
}

/// A frame with its length.
///
/// # Errors
/// [`PeerError::TooLarge`] for what no length can say.
pub(super) fn framed(body: &[u8]) -> Result<Vec<u8>, PeerError> {
    let length = u32::try_from(body.len())
        .map_err(|_| PeerError::TooLarge { announced: body.len() as u64, limit: u32::MAX.into() })?;
    Ok([&length.to_be_bytes(), body].concat())
}
