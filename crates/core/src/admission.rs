//! How many connections there are, and from where: who is turned away before a byte is read.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::policy::Limits;

/// Addresses that are remembered at the same time. One without connections is forgotten a second after its last, so only an attack from
/// very many addresses gets here; more of them then count for the whole relay only, at 5 MB for the table.
const ADDRESSES_MAX: usize = 65_536;

/// After this time every allowance is full again: it is what comes in a second.
const FULL_AFTER: Duration = Duration::from_secs(1);

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The operator does not want the address.
    Address,
    /// The relay has as many connections as it may.
    Relay,
    /// The address has.
    OfAddress,
    /// The address makes them too fast.
    Rate,
}

/// The connections by address.
#[derive(Debug, Default)]
pub struct Admissions {
    addresses: Mutex<HashMap<IpAddr, Visitor>>,
}

#[derive(Debug)]
struct Visitor {
    connections: u32,
    /// New connections that may come at once, at the time `at`.
    allowance: f32,
    at: Instant,
}

impl Admissions {
    /// Counts a connection from the address, if the limits of each address allow it. What it gives is for [`Admissions::leave`].
    pub fn enter(&self, ip: IpAddr, limits: &Limits, now: Instant) -> Result<Option<IpAddr>, Excess> {
        let origin = origin(ip);
        let rate = limits.new_connections_per_second_max.map_or(f32::MAX, |rate| rate.get() as f32);
        let mut addresses = self.lock();
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&origin) {
            return Ok(None);
        }
        let visitor = addresses.entry(origin).or_insert(Visitor { connections: 0, allowance: rate, at: now });
        let grown = visitor.allowance + now.duration_since(visitor.at).as_secs_f32() * rate;
        (visitor.allowance, visitor.at) = (grown.min(rate), now);
        if limits.connections_per_address_max.is_some_and(|most| visitor.connections >= most.get()) {
            return Err(Excess::OfAddress);
        }
        if visitor.allowance < 1.0 {
            return Err(Excess::Rate);
        }
        visitor.allowance -= 1.0;
        visitor.connections += 1;
        Ok(Some(origin))
    }

    /// A connection that was counted under `origin` has ended.
    pub fn leave(&self, origin: IpAddr) {
        if let Some(visitor) = self.lock().get_mut(&origin) {
            visitor.connections = visitor.connections.saturating_sub(1);
        }
    }

    /// Forgets addresses without connections. To be called about once a second.
    pub fn tidy(&self, now: Instant) {
        let mut addresses = self.lock();
        addresses.retain(|_, visitor| visitor.connections > 0 || now.duration_since(visitor.at) < FULL_AFTER);
        if addresses.capacity() > 4 * (addresses.len() + 64) {
            addresses.shrink_to_fit();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Visitor>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: in IPv6 the /64 network, since whoever has one address there has all of them.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

/// Whether one more than `live` is too many.
pub fn is_full(live: usize, most: Option<NonZeroU32>) -> bool {
    most.is_some_and(|most| live >= most.get() as usize)
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the address is not allowed",
            Self::Relay => "the relay has as many connections as --max-connections allows",
            Self::OfAddress => "the address has as many connections as --max-connections-per-address allows",
            Self::Rate => "the address connects faster than --new-connections-per-second allows",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of_address: u32, rate: u32) -> Limits {
        Limits {
            connections_per_address_max: NonZeroU32::new(of_address),
            new_connections_per_second_max: NonZeroU32::new(rate),
            ..Limits::default()
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections() {
        let (admissions, now) = (Admissions::default(), Instant::now());
        let limits = limits(2, 0);
        let enter = |address| admissions.enter(ip(address), &limits, now);
        let first = enter("192.0.2.1").unwrap().unwrap();
        assert!(enter("::ffff:192.0.2.1").is_ok(), "the same, mapped");
        assert_eq!(enter("192.0.2.1"), Err(Excess::OfAddress));
        assert!(enter("192.0.2.2").is_ok());
        admissions.leave(first);
        assert!(enter("192.0.2.1").is_ok());
        assert_eq!(enter("192.0.2.1"), Err(Excess::OfAddress));
        assert!(enter("2001:db8::1").is_ok());
        assert!(enter("2001:db8::ffff:1").is_ok());
        assert_eq!(enter("2001:db8::2"), Err(Excess::OfAddress), "one /64");
        assert!(enter("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn new_connections_come_at_a_rate_and_as_many_at_once() {
        let (admissions, start) = (Admissions::default(), Instant::now());
        let limits = limits(0, 4);
        let enter = |ms| admissions.enter(ip("192.0.2.1"), &limits, start + Duration::from_millis(ms));
        for _ in 0..4 {
            assert!(enter(0).is_ok());
        }
        assert_eq!(enter(0), Err(Excess::Rate));
        assert_eq!(enter(240), Err(Excess::Rate));
        assert!(enter(260).is_ok());
        assert_eq!(enter(260), Err(Excess::Rate));
        for _ in 0..4 {
            assert!(enter(9000).is_ok());
        }
        assert_eq!(enter(9000), Err(Excess::Rate));
    }

    #[test]
    fn only_who_is_there_or_was_just_now_is_remembered() {
        let (admissions, start) = (Admissions::default(), Instant::now());
        let limits = limits(1, 1);
        let origin = admissions.enter(ip("192.0.2.1"), &limits, start).unwrap().unwrap();
        for n in 0..10_000u32 {
            let origin = admissions.enter(IpAddr::V4(n.into()), &limits, start).unwrap().unwrap();
            admissions.leave(origin);
        }
        admissions.tidy(start);
        assert_eq!(admissions.lock().len(), 10_001);
        admissions.tidy(start + FULL_AFTER);
        assert_eq!(admissions.lock().len(), 1);
        assert!(admissions.lock().capacity() < 1000);
        admissions.leave(origin);
        admissions.tidy(start + FULL_AFTER);
        assert_eq!(admissions.lock().len(), 0);
    }

    #[test]
    fn more_addresses_than_there_is_room_for_are_let_in_uncounted() {
        let (admissions, start) = (Admissions::default(), Instant::now());
        let limits = limits(1, 1);
        let enter = |ip, now| admissions.enter(ip, &limits, now);
        let v4 = |n: u32| IpAddr::V4(n.into());
        let last = ADDRESSES_MAX as u32 - 1;
        for n in 0..last {
            assert_eq!(enter(v4(n), start), Ok(Some(v4(n))));
        }
        // There is room for one, and then for none: neither for a stranger nor for its /64.
        assert_eq!(admissions.lock().len(), ADDRESSES_MAX - 1);
        assert_eq!(enter(v4(last), start), Ok(Some(v4(last))));
        for stranger in [v4(last + 1), ip("255.0.0.1"), ip("2001:db8::1")] {
            assert_eq!(enter(stranger, start), Ok(None));
            assert_eq!(enter(stranger, start), Ok(None), "it is not limited by what is not counted");
        }
        assert_eq!(enter(v4(0), start), Err(Excess::OfAddress), "who is in the table is counted as ever");
        assert_eq!(enter(v4(last), start), Err(Excess::OfAddress));
        assert_eq!(admissions.lock().len(), ADDRESSES_MAX);
        // One that has left keeps its place until its allowance is full again; then the next has it, and nobody else.
        admissions.leave(v4(7));
        admissions.tidy(start + FULL_AFTER - Duration::from_millis(1));
        assert_eq!(enter(ip("255.0.0.1"), start + FULL_AFTER), Ok(None));
        admissions.tidy(start + FULL_AFTER);
        assert_eq!(enter(ip("255.0.0.1"), start + FULL_AFTER), Ok(Some(ip("255.0.0.1"))));
        assert_eq!(enter(ip("255.0.0.2"), start + FULL_AFTER), Ok(None));
        assert_eq!(admissions.lock().len(), ADDRESSES_MAX);
    }
}
