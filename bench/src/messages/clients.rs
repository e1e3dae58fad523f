//! Names for clients.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A prefix that no earlier measure of this process used: a server may still be reading what a finished measure sent.
pub(super) fn fresh_prefix() -> String {
    static USED: AtomicU32 = AtomicU32::new(0);
    let number = USED.fetch_add(1, Relaxed);
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
    [letter(number / 26), letter(number)].iter().collect()
}
