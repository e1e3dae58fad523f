//! Uploads: `name\n`, the size as 8 bytes in big-endian order, the data; answered with one line. Then the next file, if there is one.
//!
//! A stored file is answered `received NAME: SIZE bytes, sha256 HEX`, another one `error: SENTENCE`, as soon as that is known, and the
//! connection closes.

mod folder;
mod inbound;
mod name;
mod stale;

use tracing::info;

pub use folder::{Folder, Stored, UploadError};
pub use name::plain_name;

use super::{Connection, PeerError, Service, ServiceError, Serving, Stop};
pub(super) use folder::hex;
pub(super) use inbound::Inbound;

/// More than any system's file name, path included.
const SENT_NAME_BYTES_MAX: usize = 4096;

/// The size before the data, in bytes.
const SIZE_BYTES: usize = 8;

/// Takes uploads into a folder.
#[derive(Debug)]
pub struct Files {
    /// Where they go.
    pub folder: Folder,
}

impl Service for Files {
    fn serve<'a>(&'a self, connection: &'a mut Connection, mut stop: Stop) -> Serving<'a> {
        Box::pin(async move {
            let mut inbound = Inbound::new(connection);
            while inbound.has_more(&mut stop).await? {
                match self.receive(&mut inbound).await {
                    Ok(stored) => {
                        let Stored { name, size, sha256 } = stored;
                        info!(peer = %inbound.connection().peer(), name, size, sha256, "stored");
                        let line = format!("received {name}: {size} bytes, sha256 {sha256}\n");
                        inbound.connection().write_all(line.as_bytes()).await?;
                    }
                    Err(ServiceError::Upload(error)) => {
                        let line = format!("error: {error}\n");
                        inbound.connection().write_all(line.as_bytes()).await?;
                        return Err(error.into());
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}

impl Files {
    async fn receive(&self, inbound: &mut Inbound<'_>) -> Result<Stored, ServiceError> {
        let Some(name) = inbound.line(SENT_NAME_BYTES_MAX).await? else {
            return Err(UploadError::EndlessName(SENT_NAME_BYTES_MAX).into());
        };
        let size = u64::from_be_bytes(inbound.array::<SIZE_BYTES>("the size of the file").await?);
        let mut upload = self.folder.begin(&name, size)?;
        let mut left = size;
        while left > 0 {
            let piece = inbound.piece(left).await?;
            if piece.is_empty() {
                return Err(PeerError::Closed("the file").into());
            }
            left -= piece.len() as u64;
            upload.write(piece).await?;
        }
        Ok(upload.publish().await?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::lab::testing::{exchange, serve};

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { directory: dir.path().to_owned(), overwrite: false, size_max: 1 << 20 };
        (dir, Files { folder })
    }

    fn upload(name: &[u8], data: &[u8]) -> Vec<u8> {
        [name, b"\n", &(data.len() as u64).to_be_bytes(), data].concat()
    }

    async fn answers(files: Files, sent: &[u8]) -> (String, Result<(), ServiceError>) {
        let (mut client, _stopper, task) = serve(files);
        let answer = exchange(&mut client, sent).await;
        (String::from_utf8(answer).unwrap(), task.await.unwrap())
    }

    #[tokio::test]
    async fn files_follow_one_another_and_each_is_answered() {
        let (dir, files) = files();
        let big: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
        let sent = [upload(b"../a.txt", b"abc"), upload(b"empty", b""), upload(b"big", &big)].concat();
        let (answer, ended) = answers(files, &sent).await;
        ended.unwrap();
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(
            lines[0],
            "received a.txt: 3 bytes, sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(lines[1].starts_with("received empty: 0 bytes, sha256 e3b0c442"));
        assert!(lines[2].starts_with("received big: 300000 bytes"));
        assert_eq!(fs::read(dir.path().join("big")).unwrap(), big);
        assert_eq!(fs::read(dir.path().join("empty")).unwrap(), b"");
    }

    #[tokio::test]
    async fn what_is_not_kept_is_answered_with_a_reason_and_leaves_nothing() {
        for (sent, reason) in [
            ([b"huge\n".as_slice(), &u64::MAX.to_be_bytes()].concat(), "18446744073709551615 bytes"),
            (vec![b'x'; 5000], "no end of the name"),
        ] {
            let (dir, files) = files();
            let (answer, ended) = answers(files, &sent).await;
            assert!(answer.starts_with("error: ") && answer.contains(reason), "{answer}");
            assert!(matches!(ended, Err(ServiceError::Upload(_))), "{ended:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn an_upload_that_ends_early_leaves_nothing() {
        let whole = upload(b"a.txt", b"abc");
        for end in 1..whole.len() {
            let (dir, files) = files();
            let (answer, ended) = answers(files, &whole[..end]).await;
            assert_eq!(answer, "", "after {end} bytes");
            assert!(matches!(ended, Err(ServiceError::Peer(PeerError::Closed(_)))), "{ended:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
