//! How much of everything one relay, one address and one service may have.

use std::num::NonZeroU32;

/// Upper bounds; `None` is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, registered or not.
    pub connections_max: Option<NonZeroU32>,
    /// Of these, from one address (in IPv6 from one /64 network, which is what one customer has).
    pub connections_per_address_max: Option<NonZeroU32>,
    /// New connections that one address may make each second; as many may come at once.
    pub new_connections_per_second_max: Option<NonZeroU32>,
    /// Open streams of one service.
    pub streams_per_service_max: Option<NonZeroU32>,
}
