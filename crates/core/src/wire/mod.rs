//! Bytes <-> frames and control messages, with no socket and no clock, so that every split of the bytes and every malformed
//! input can be tried without a network. The grammar is `docs/protocol.md`.

mod control;
mod decoder;
mod first_bytes;
mod header;
mod hello;
mod name;
mod object;
mod secret;

pub use control::{
    BadControl, CONTROL_BYTES_MAX, Closing, ErrorCode, ErrorNotice, Exposed, FromClient, FromRelay, Openable,
    Opened, PROTOCOL_VERSION, Registered, StreamNotice, Undeliverable, encode_control,
};
pub use decoder::{DecodeError, Decoder, Frame};
pub use first_bytes::FirstBytes;
pub use header::{HEADER_BYTES_MAX, Header, HeaderError, encode_header, parse_header};
pub use hello::{BadHello, Hello, Ownership};
pub use name::{BadName, Escaped, NAME_BYTES_MAX, Name, TextName, parse_registration};
pub use object::{BadObject, parse_message};
pub use secret::{
    Answer, BadSecret, Challenge, OwnerKey, SECRET_BYTES_MAX, SECRET_BYTES_SAFE, Secret, encode_challenge,
};
