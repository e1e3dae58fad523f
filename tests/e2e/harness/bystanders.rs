//! Two clients who mind their own business while something goes wrong elsewhere.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{Relay, Socket};

/// Growth of the relay's resident memory that counts as none: buffers of the workers, not of the misbehaving clients.
#[cfg(target_os = "linux")]
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// Clients `alice` and `bob`.
pub struct Bystanders {
    alice: Socket,
    bob: Socket,
    is_framed: bool,
    number: u64,
}

impl Bystanders {
    /// Registers both and lets them talk.
    pub fn new(relay: &Relay) -> Self {
        let mut alice = relay.client("alice");
        alice.send_to("alice", "raw");
        let is_framed = alice.receive(1) != b"r";
        alice.expect(if is_framed { "lice|3|raw" } else { "aw" });
        let mut pair = Self { alice, bob: relay.client("bob"), is_framed, number: 0 };
        pair.talk();
        pair
    }

    /// One message each way.
    pub fn talk(&mut self) {
        self.number += 1;
        let text = format!("message {:08}", self.number);
        let header = |name| if self.is_framed { format!("{name}|{}|", text.len()) } else { String::new() };
        self.alice.send_to("bob", &text);
        self.bob.expect(header("alice") + &text);
        self.bob.send_to("alice", &text);
        self.alice.expect(header("bob") + &text);
    }

    /// Lets the two talk during all of `trouble`, and afterwards.
    pub fn talk_during<T>(&mut self, trouble: impl FnOnce() -> T) -> T {
        /// Ends the conversation even when the trouble ends in a panic, or the scope would never.
        struct Finally<'a>(&'a AtomicBool);
        impl Drop for Finally<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let is_over = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    self.talk();
                }
            });
            let _finally = Finally(&is_over);
            trouble()
        });
        self.talk();
        result
    }
}

/// Runs `trouble` beside two bystanders who must notice nothing, while the relay's memory must stay flat.
pub fn beside_bystanders<T>(relay: &Relay, trouble: impl FnOnce() -> T) -> T {
    let mut pair = Bystanders::new(relay);
    #[cfg(target_os = "linux")]
    let memory = || super::is_native().then(|| super::linux::memory(relay.process.id(), "VmRSS"));
    #[cfg(target_os = "linux")]
    let before = memory();
    let result = pair.talk_during(trouble);
    #[cfg(target_os = "linux")]
    if let (Some(before), Some(after)) = (before, memory()) {
        let growth = after.saturating_sub(before);
        assert!(growth < GROWTH_BYTES_MAX, "the relay grew by {growth} bytes");
    }
    result
}
