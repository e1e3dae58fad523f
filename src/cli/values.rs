//! How values are written on the command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

/// A span of time such as `500ms`, `3s` or `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{text}` is not a time such as 500ms, 3s or 2m");
        humantime::parse_duration(text).map(Self).map_err(wrong)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_addresses_are_read_as_people_write_them() {
        assert_eq!("1m 30s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        assert!("5".parse::<Span>().is_err());
        assert!("-5s".parse::<Span>().is_err());
        assert_eq!(listen_address("8080"), Ok(SocketAddr::from(([0, 0, 0, 0], 8080))));
        assert_eq!(listen_address("[::1]:9").map(|a| a.to_string()), Ok("[::1]:9".to_owned()));
        assert!(listen_address("localhost").is_err());
    }
}
