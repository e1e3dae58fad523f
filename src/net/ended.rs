//! Whether the other end has already ended a connection.

use tokio::net::TcpStream;

/// Whether the other end sends nothing more: it has finished, or the connection is broken. Elsewhere than on Linux this is not seen while
/// bytes that came before the end are unread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn has_ended(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // A broken connection is reported without being asked for.
    let mut asked = [PollFd::new(stream, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|reported| reported > 0)
}

/// Whether the other end sends nothing more: it has finished, or the connection is broken. Elsewhere than on Linux this is not seen while
/// bytes that came before the end are unread.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match socket2::SockRef::from(stream).peek(&mut byte) {
        Ok(n) => n == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{Shutdown, TcpListener},
        time::{Duration, Instant},
    };

    use super::*;

    /// Nothing here takes this long unless it is broken.
    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn an_end_is_seen_and_silence_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = async || {
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            (near, listener.accept().unwrap().0)
        };
        let seen = async |stream: &TcpStream| {
            // The end takes its way.
            let since = Instant::now();
            while !has_ended(stream) && since.elapsed() < DEADLINE {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            has_ended(stream)
        };
        let (near, far) = pair().await;
        assert!(!has_ended(&near));
        far.shutdown(Shutdown::Write).unwrap();
        assert!(seen(&near).await);

        let (near, far) = pair().await;
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert!(seen(&near).await);

        let (near, mut far) = pair().await;
        far.write_all(b"unread").unwrap();
        near.readable().await.unwrap();
        assert!(!has_ended(&near));
        if cfg!(target_os = "linux") {
            drop(far);
            assert!(seen(&near).await, "also behind unread bytes");
        }
    }
}
