//! MQTT 3.1.1, as far as it takes to subscribe to a topic and to publish with quality of service 0.

/// Asks to be reached under `name`: CONNECT without a keepalive, and SUBSCRIBE.
pub(super) fn registration(name: &str) -> Vec<u8> {
    let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
    push_text(&mut connect, name);
    let mut subscribe = vec![0, 1];
    push_text(&mut subscribe, name);
    subscribe.push(0);
    let mut out = packet(0x10, &connect);
    out.extend(packet(0x82, &subscribe));
    out
}

/// What a server sends last when a client is subscribed: SUBACK.
pub(super) const PROOF: &[u8] = &[0x90, 3, 0, 1, 0];

/// PUBLISH up to its payload.
pub(super) fn publish_header(name: &str, payload_bytes: usize) -> Vec<u8> {
    let mut out = vec![0x30];
    push_length(&mut out, 2 + name.len() + payload_bytes);
    push_text(&mut out, name);
    out
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    push_length(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, the lowest first.
fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 128 {
        out.push((length % 128) as u8 | 128);
        length /= 128;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_standard() {
        assert_eq!(
            registration("ab"),
            b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab\x82\x07\x00\x01\x00\x02ab\x00"
        );
        assert_eq!(publish_header("ab", 5), b"\x30\x09\x00\x02ab");
        assert_eq!(publish_header("ab", 1024), b"\x30\x84\x08\x00\x02ab");
    }
}
