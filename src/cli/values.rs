//! How values are written on the command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use crate::{lab::network::Rate, net::Target};

/// The longest span of time.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A span of time such as `500ms`, `3s` or `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{text}` is not a time such as 500ms, 3s or 2m");
        let time = humantime::parse_duration(text).map_err(wrong)?;
        // Clocks cannot be added to without limit.
        if time > SPAN_MAX { Err(format!("`{text}` is more than a year")) } else { Ok(Self(time)) }
    }
}

/// `ADDRESS:PORT`, or a port alone for all addresses of the machine.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    text.parse()
        .map_err(|_| format!("`{text}` is not an address and a port such as 0.0.0.0:8080 or [::]:8080"))
}

/// `HOST:PORT`, or a port of this machine alone.
pub(crate) fn near_address(text: &str) -> Result<Target, String> {
    match text.parse() {
        Ok(port) => Ok(Target::new("127.0.0.1", port)),
        Err(_) => text.parse(),
    }
}

/// The host of a command that takes its port as the next word.
pub(crate) fn host_alone(text: &str) -> Result<String, String> {
    match text.parse::<Target>() {
        Ok(target) => Err(format!(
            "`{text}` is a host and a port in one word; here they are two words: {} {}",
            target.host(),
            target.port()
        )),
        Err(_) => Ok(text.to_owned()),
    }
}

/// A port that is the word behind its host.
pub(crate) fn port_alone(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not a port, a number up to 65535; the port stands behind the host: HOST PORT")
    })
}

/// Ports such as `9000-9099`, or one alone.
pub(crate) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` is not a range of ports such as 9000-9099")),
    }
}

/// Units of a rate, in bits per second.
const RATE_UNITS: [(&str, f64); 4] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1.0)];

/// A rate such as `1mbit`, `56kbit` or `2.5gbit/s`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is not a rate such as 56kbit, 1mbit or 2.5gbit");
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix("/s").unwrap_or(&lower);
    let mut units = RATE_UNITS.iter();
    let (number, unit) = units
        .find_map(|(unit, bits)| Some((lower.strip_suffix(unit)?.trim_end(), bits)))
        .ok_or_else(wrong)?;
    // Digits and a point; `parse` would also take signs, exponents and `inf`.
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let bits = number.parse::<f64>().map_err(|_| wrong())? * unit;
    // The cast saturates: faster than any network is as good as the fastest.
    Rate::from_bits_per_second(bits as u64)
        .ok_or_else(|| format!("`{text}` is less than 8bit, a byte a second"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_per_second() {
        for (text, bits) in [
            ("8bit", 8),
            ("56kbit", 56_000),
            ("1mbit", 1_000_000),
            ("2.5 Gbit/s", 2_500_000_000),
            ("99999999999999999999gbit", u64::MAX),
        ] {
            assert_eq!(rate(text).map(Rate::bits_per_second), Ok(bits), "{text}");
        }
        for text in ["", "1", "mbit", "-1mbit", "1e3kbit", "infkbit", "1MB", "7bit", "0mbit", "1..2mbit"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_addresses_are_read_as_people_write_them() {
        assert_eq!("1m 30s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        assert!("5".parse::<Span>().is_err());
        assert!("1000000y".parse::<Span>().is_err());
        assert!("-5s".parse::<Span>().is_err());
        assert_eq!(listen_address("8080"), Ok(SocketAddr::from(([0, 0, 0, 0], 8080))));
        assert_eq!(listen_address("[::1]:9").map(|a| a.to_string()), Ok("[::1]:9".to_owned()));
        assert!(listen_address("localhost").is_err());
        for host in ["example.org", "192.0.2.1", "::1", "[::1]", "fe80::1%eth0", "2001:db8::80"] {
            assert_eq!(host_alone(host).as_deref(), Ok(host));
        }
        assert!(host_alone("192.0.2.1:8080").is_err_and(|error| error.contains("two words: 192.0.2.1 8080")));
        assert!(host_alone("[::1]:8080").is_err_and(|error| error.contains("two words: ::1 8080")));
        assert_eq!(port_alone("8080"), Ok(8080));
        assert!(port_alone("65536").is_err() && port_alone("bob").is_err());
    }
}
