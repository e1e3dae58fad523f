//! Reading and writing through a shared reference, so that both ways of a connection can be used at once.

use std::io;

use tokio::net::TcpStream;

/// Waits for bytes and reads what there is; 0 at the end. Nothing is lost when the future is dropped.
///
/// # Errors
/// The connection broke.
pub async fn read_some(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Writes all bytes, however long the other end takes: the caller has the deadline.
///
/// # Errors
/// The connection broke.
pub async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
