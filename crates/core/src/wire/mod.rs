//! Bytes <-> frames and control messages, with no socket and no clock, so that every split of the bytes and every malformed
//! input can be tried without a network. The grammar is `docs/protocol.md`.

mod control;
mod decoder;
mod first_bytes;
mod header;
mod name;
mod secret;

pub use control::{
    CONTROL_BYTES_MAX, Closing, ErrorCode, ErrorNotice, Exposed, FromClient, FromRelay, Hello, Opened,
    PROTOCOL_VERSION, Registered, StreamNotice, Undeliverable, encode_control,
};
pub use decoder::{DecodeError, Decoder, Frame};
pub use first_bytes::FirstBytes;
pub use header::{HEADER_BYTES_MAX, Header, HeaderError, encode_header, parse_header};
pub use name::{BadName, Escaped, NAME_BYTES_MAX, Name, parse_registration};
pub use secret::{
    Answer, BadSecret, Challenge, OwnerKey, SECRET_BYTES_MAX, SECRET_BYTES_SAFE, Secret, encode_challenge,
};
