//! Connecting out: resolve, try each address within one deadline, and say exactly what failed.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::lookup::look_up;

/// A host name or address and a port, as a person writes it: `example.org:8080`, `192.168.1.5:8080`, `[::1]:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// A target from its two parts; an IPv6 address may come with or without its brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host: String = host.into();
        let host =
            host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).map(str::to_owned).unwrap_or(host);
        Self { host, port }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is an address that every network has, without the interface that says which network is meant.
    fn lacks_interface(&self) -> bool {
        self.host.parse().is_ok_and(|address: Ipv6Addr| address.is_unicast_link_local())
    }
}

impl From<SocketAddr> for Target {
    /// The same address, with the number of its interface where it has one.
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self { host, port: address.port() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not HOST:PORT, such as example.org:8080 or [::1]:8080");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains(':') && !bracketed) {
            return Err(wrong());
        }
        Ok(Self::new(host, port.parse().map_err(|_| wrong())?))
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the name {0} was not found")]
    NotFound(String),
    /// Nobody who could know the name has answered, or all of them failed.
    #[error("the name {0} was not found: no name server answered")]
    NoNameServer(String),
    /// The machine answered that nothing listens on the port.
    #[error("{0} refused the connection")]
    Refused(Target),
    /// No answer in time.
    #[error("{0} did not answer within {1:?}")]
    TimedOut(Target, Duration),
    /// No route to the machine or its network.
    #[error("{0} cannot be reached from here")]
    Unreachable(Target, #[source] io::Error),
    /// A link-local address alone, which is the same on every network.
    #[error("{0} does not say by which interface it is reached")]
    NoInterface(Target),
    /// Every local port is in use for connections to the same address.
    #[error("this machine has no local port left for a connection to {0}")]
    NoLocalPort(Target),
    /// Anything else the system reported.
    #[error("cannot connect to {0}: {1}")]
    Other(Target, #[source] io::Error),
}

impl DialError {
    /// Whether another attempt fails in the same way, whatever happens meanwhile.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoInterface(_))
    }

    /// Whether it is about a name that only mDNS (RFC 6762) knows, which a static program does not ask.
    pub fn needs_mdns(&self) -> bool {
        let (Self::NotFound(host) | Self::NoNameServer(host)) = self else { return false };
        let host = host.strip_suffix('.').unwrap_or(host);
        host.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("local"))
    }
}

/// All addresses of a target, in the system's order of preference.
///
/// # Errors
/// [`DialError::NotFound`] when the name has no address, [`DialError::NoNameServer`] when nobody says so within `timeout`.
pub async fn resolve(target: &Target, timeout: Duration) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    if let Ok(address) = format!("[{}]:{}", target.host, target.port).parse::<SocketAddrV6>() {
        return Ok(vec![address.into()]);
    }
    look_up(target, timeout).await
}

/// Connects to the first address of `target` that answers. The name is resolved anew on every call, since a relay at home
/// changes its address. `timeout` bounds the whole call.
///
/// # Errors
/// The failure of the last address that was tried.
pub async fn dial(target: &Target, timeout: Duration) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + timeout;
    let addresses = resolve(target, timeout).await?;
    let mut failure = DialError::NotFound(target.host.clone());
    for (tried, address) in addresses.iter().enumerate() {
        // Each address gets its share of what time is left, so that a dead one does not use up the turn of the next.
        let share = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        failure = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => classify(target, *address, error, timeout),
            Err(_) => DialError::TimedOut(target.clone(), timeout),
        };
    }
    Err(failure)
}

fn classify(target: &Target, address: SocketAddr, error: io::Error, timeout: Duration) -> DialError {
    match error.kind() {
        // What systems say when they cannot choose the interface themselves. Windows tries, and finds it where there is but one.
        io::ErrorKind::InvalidInput
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
            if target.lacks_interface() =>
        {
            DialError::NoInterface(target.clone())
        }
        io::ErrorKind::ConnectionRefused => DialError::Refused(target.clone()),
        io::ErrorKind::TimedOut => DialError::TimedOut(target.clone(), timeout),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            DialError::Unreachable(target.clone(), error)
        }
        // Without IPv6, systems say the same of an IPv6 address.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse if address.is_ipv4() => {
            DialError::NoLocalPort(target.clone())
        }
        _ => DialError::Other(target.clone(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_as_people_write_them() {
        for text in ["example.org:80", "10.0.0.1:8080", "[::1]:9"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "host", ":80", "::1:80", "host:", "host:70000", "host:-1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(Target::new("[::1]", 9), Target::new("::1", 9));
    }

    #[tokio::test]
    async fn an_address_keeps_its_interface() {
        let address = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 7).into();
        let target = Target::from(address);
        assert_eq!((target.host(), target.to_string().as_str()), ("fe80::1%7", "[fe80::1%7]:80"));
        assert_eq!(resolve(&target, Duration::ZERO).await.unwrap(), [address]);
        assert!(!target.lacks_interface() && Target::new("fe80::1", 80).lacks_interface());
        assert!(!Target::new("::1", 80).lacks_interface());
    }

    #[test]
    fn an_address_that_is_not_available_is_a_want_of_local_ports() {
        let failure = |address: &str| {
            let (target, address) = (Target::new("example.org", 80), address.parse().unwrap());
            let error = io::ErrorKind::AddrNotAvailable.into();
            classify(&target, address, error, Duration::ZERO).to_string()
        };
        assert_eq!(
            failure("192.0.2.1:80"),
            "this machine has no local port left for a connection to example.org:80"
        );
        assert!(failure("[2001:db8::1]:80").starts_with("cannot connect to example.org:80"));
    }

    #[test]
    fn names_in_local_are_those_of_mdns() {
        for host in ["pi.local", "PI.Local", "pi.local.", "a.b.local"] {
            assert!(DialError::NotFound(host.to_owned()).needs_mdns(), "{host}");
            assert!(DialError::NoNameServer(host.to_owned()).needs_mdns(), "{host}");
        }
        for host in ["local", "pi.local.net", "pilocal", ""] {
            assert!(!DialError::NotFound(host.to_owned()).needs_mdns(), "{host}");
        }
        assert!(!DialError::Refused(Target::new("pi.local", 1)).needs_mdns());
    }
}
