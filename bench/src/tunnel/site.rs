//! Where the parts of a tunnel run: all on this machine, or each on one of its own as far as the network goes.

use std::net::Ipv4Addr;

use anyhow::Result;

#[cfg(target_os = "linux")]
use super::lossy::Namespace;

/// A machine, by the address where others reach it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) address: Ipv4Addr,
    #[cfg(target_os = "linux")]
    namespace: Option<Namespace>,
}

/// This machine, for itself alone.
static LOOPBACK: Machine = Machine {
    address: Ipv4Addr::LOCALHOST,
    #[cfg(target_os = "linux")]
    namespace: None,
};

impl Machine {
    #[cfg(target_os = "linux")]
    pub(super) fn there(address: Ipv4Addr, namespace: Namespace) -> Self {
        Self { address, namespace: Some(namespace) }
    }

    /// Does this on that machine. Sockets and processes that are made on the way stay there for good.
    ///
    /// # Errors
    /// Those of `act`.
    pub(super) fn run<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        #[cfg(target_os = "linux")]
        if let Some(namespace) = &self.namespace {
            return namespace.run(act);
        }
        act()
    }
}

/// The machines of a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    /// Where visitors come to.
    pub(super) server: &'a Machine,
    /// Where the service is.
    pub(super) client: &'a Machine,
}

impl Site<'static> {
    /// All in one place.
    pub(super) const LOOPBACK: Self = Self { server: &LOOPBACK, client: &LOOPBACK };
}
