//! Where the parts of a tunnel run: all on this machine, or each on one of its own as far as the network goes.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::lossy::Namespace;

/// A machine, by the address where others reach it.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) address: Ipv4Addr,
    namespace: Option<Namespace>,
}

/// This machine, for itself alone.
static LOOPBACK: Machine = Machine { address: Ipv4Addr::LOCALHOST, namespace: None };

impl Machine {
    pub(super) fn there(address: Ipv4Addr, namespace: Namespace) -> Self {
        Self { address, namespace: Some(namespace) }
    }

    /// Does this on that machine. Sockets and processes that are made on the way stay there for good.
    ///
    /// # Errors
    /// Those of `act`.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if let Some(namespace) = &self.namespace {
            return namespace.run(act);
        }
        act()
    }
}

/// The machines of a tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    /// Where visitors come to.
    pub(crate) server: &'a Machine,
    /// Where the service is.
    pub(crate) client: &'a Machine,
}

impl Site<'static> {
    /// All in one place.
    pub(crate) const LOOPBACK: Self = Self { server: &LOOPBACK, client: &LOOPBACK };
}
