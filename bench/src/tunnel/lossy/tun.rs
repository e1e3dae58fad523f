//! A network device whose packets this program sends and receives.

use std::{
    ffi::{c_int, c_short},
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::OFlags,
    ioctl::{Updater, ioctl, opcode},
};

/// IP packets and nothing around them: `IFF_TUN | IFF_NO_PI`.
const PLAIN: c_short = 0x1001;

const NAME_BYTES: usize = 16;

/// `struct ifreq` of Linux, as far as `TUNSETIFF` looks at it.
#[repr(C)]
struct Request {
    name: [u8; NAME_BYTES],
    flags: c_short,
    // The rest of the union, of which the largest member on any platform is `struct ifmap`, 24 bytes.
    _rest: [u8; 22],
}

/// Makes the device in the namespace of the calling thread; it is gone when the file is closed. Reading does not wait for packets.
///
/// # Errors
/// The system has no such devices, or the user must not make them.
pub(super) fn make(name: &str) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun")?;
    ensure!(name.len() < NAME_BYTES, "{name} is too long a name for a device");
    let mut request = Request { name: [0; NAME_BYTES], flags: PLAIN, _rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // The system call is made by hand because no crate at hand wraps it.
    // SAFETY: TUNSETIFF is `_IOW('T', 202, int)` and, whatever that says, reads and writes a `struct ifreq`, which this is.
    let set = unsafe { Updater::<{ opcode::write::<c_int>(b'T', 202) }, _>::new(&mut request) };
    // SAFETY: as above.
    unsafe { ioctl(&file, set) }.with_context(|| format!("cannot make the device {name}"))?;
    Ok(file)
}
