//! Ranges of addresses in CIDR notation (RFC 4632, RFC 4291).

use std::{fmt, net::IpAddr, str::FromStr};

/// All addresses that begin with the same bits, such as `10.0.0.0/8`, `2001:db8::/32` or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    bits: u32,
}

/// Not such a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// Neither an address nor one with a number of bits.
    #[error("`{0}` is not an address or a range such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
    Syntax(String),
    /// Bits behind the range: most likely a slip, and it would be guessing which.
    #[error("`{0}` has bits beyond its range; did you mean {1}?")]
    Beyond(String, AddressRange),
}

impl AddressRange {
    /// Whether the address, which is not a mapped one, is in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => first_bits_v4(ip.to_bits(), self.bits) == base.to_bits(),
            (IpAddr::V6(base), IpAddr::V6(ip)) => first_bits_v6(ip.to_bits(), self.bits) == base.to_bits(),
            _ => false,
        }
    }
}

fn first_bits_v4(address: u32, bits: u32) -> u32 {
    address & u32::MAX.checked_shl(u32::BITS - bits).unwrap_or(0)
}

fn first_bits_v6(address: u128, bits: u32) -> u128 {
    address & u128::MAX.checked_shl(u128::BITS - bits).unwrap_or(0)
}

impl FromStr for AddressRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let syntax = || BadRange::Syntax(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                // `parse` would take a sign.
                let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
                (address, Some(bits.parse::<u32>().ok().filter(|_| is_number).ok_or_else(syntax)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let all = if address.is_ipv4() { u32::BITS } else { u128::BITS };
        let bits = bits.unwrap_or(all);
        if bits > all {
            return Err(syntax());
        }
        // A range of mapped addresses is one of IPv4.
        let (address, bits) = match address.to_canonical() {
            mapped if mapped != address && bits >= 96 => (mapped, bits - 96),
            _ => (address, bits),
        };
        let first = match address {
            IpAddr::V4(ip) => IpAddr::V4(first_bits_v4(ip.to_bits(), bits).into()),
            IpAddr::V6(ip) => IpAddr::V6(first_bits_v6(ip.to_bits(), bits).into()),
        };
        let range = Self { address: first, bits };
        if first == address { Ok(range) } else { Err(BadRange::Beyond(text.to_owned(), range)) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(range: &str, ip: &str) -> bool {
        range.parse::<AddressRange>().unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn a_range_is_the_first_bits() {
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("192.0.2.128/25", "192.0.2.255") && !has("192.0.2.128/25", "192.0.2.127"));
        assert!(has("192.0.2.7", "192.0.2.7") && !has("192.0.2.7", "192.0.2.6"));
        assert!(has("0.0.0.0/0", "255.1.2.3") && !has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "ffff::1") && !has("::/0", "1.2.3.4"));
        assert!(has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::1"));
        assert!(has("::1", "::1") && !has("::1", "::2"));
        assert!(has("::ffff:10.0.0.0/104", "10.2.3.4"), "mapped");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "host",
            "1.2.3.4:80",
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(BadRange::Syntax(text.to_owned())));
        }
        let error = "10.1.2.3/8".parse::<AddressRange>().unwrap_err().to_string();
        assert_eq!(error, "`10.1.2.3/8` has bits beyond its range; did you mean 10.0.0.0/8?");
    }
}
