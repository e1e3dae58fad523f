//! Whether the machine at the other end still answers.

#[cfg(unix)]
pub(super) use std::os::fd::AsRawFd as AsSocket;
#[cfg(windows)]
pub(super) use std::os::windows::io::AsRawSocket as AsSocket;
use std::time::Duration;

/// What the system knows of the answers to what it has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Everything sent was acknowledged.
    All,
    /// Something is on its way, or waits for a reader that takes its time: its system answers.
    Awaited,
    /// The system is sending again what is not acknowledged, or asks in vain whether a full buffer has room.
    Missing,
}

/// Asks the system about the answers of the other end's system. Linux only; elsewhere nothing is known, and the system's own limit on
/// retransmissions stands.
///
/// `TCP_USER_TIMEOUT` would end a connection without answers by itself, but it counts a reader that takes its time as one that is gone.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn answers(stream: &impl AsSocket) -> Answers {
    /// One question may be on its way.
    const PROBES_MIN: u8 = 2;

    let mut pending: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the kernel writes one integer: the bytes that are not
    // acknowledged or not even sent. No crate in use wraps TIOCOUTQ.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut pending) };
    if result != 0 || pending == 0 {
        return Answers::All;
    }
    let Some(info) = tcp_info(stream) else { return Answers::All };
    if info.tcpi_probes >= PROBES_MIN || (info.tcpi_unacked > 0 && info.tcpi_retransmits > 0) {
        Answers::Missing
    } else {
        Answers::Awaited
    }
}

/// How long ago the other end's system last answered, where that is known.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn last_answer(stream: &impl AsSocket) -> Option<Duration> {
    tcp_info(stream).map(|info| Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn tcp_info(stream: &impl AsSocket) -> Option<libc::tcp_info> {
    // SAFETY: `tcp_info` is made of integers, for which all bits zero are a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the kernel writes at most `length` bytes, which is what
    // `info` has. No crate in use wraps TCP_INFO.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &mut length,
        )
    };
    (result == 0).then_some(info)
}

/// Asks the system about the answers of the other end's system: it does not say here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn answers(_: &impl AsSocket) -> Answers {
    Answers::All
}

/// The same for the last answer.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn last_answer(_: &impl AsSocket) -> Option<Duration> {
    None
}
