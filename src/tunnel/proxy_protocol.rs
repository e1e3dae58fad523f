//! The PROXY protocol, version 2: a visitor's address in front of its bytes.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::net::SocketAddr;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;

/// Address family and transport: TCP over IPv4, TCP over IPv6.
const TCP_4: u8 = 0x11;
const TCP_6: u8 = 0x21;

/// Appends the header for a connection from `from` to `to`.
pub(super) fn encode(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr) {
    out.extend_from_slice(&SIGNATURE);
    out.push(VERSION_AND_COMMAND);
    match (canonical(from), canonical(to)) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            out.push(TCP_4);
            out.extend_from_slice(&12u16.to_be_bytes());
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
        }
        (from, to) => {
            out.push(TCP_6);
            out.extend_from_slice(&36u16.to_be_bytes());
            for address in [from, to] {
                let ip = match address {
                    SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
                    SocketAddr::V6(v6) => *v6.ip(),
                };
                out.extend_from_slice(&ip.octets());
            }
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
}

/// An IPv4 visitor of a relay that listens on IPv6 as well is an IPv4 visitor.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(from: &str, to: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, from.parse().unwrap(), to.parse().unwrap());
        out
    }

    #[test]
    fn headers_are_those_of_the_specification() {
        let four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x01\xc0\x00\x02\x07\x13\x88\x00\x50";
        assert_eq!(header("10.0.0.1:5000", "192.0.2.7:80"), four);
        assert_eq!(header("[::ffff:10.0.0.1]:5000", "[::ffff:192.0.2.7]:80"), four);
        let six = header("[2001:db8::1]:5000", "[::1]:80");
        assert_eq!((six.len(), &six[12..16]), (16 + 36, &b"\x21\x21\x00\x24"[..]));
        assert_eq!(header("10.0.0.1:1", "[::1]:2").len(), 16 + 36);
    }
}
