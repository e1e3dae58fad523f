//! The hello and what follows it until the relay has answered: the same for every kind of version 2 connection.

use std::io;

use tokio::net::TcpStream;

use super::LinkError;
use crate::{
    net::{read_some, write_all},
    wire::{
        Answer, Challenge, Decoder, FromRelay, Hello, OwnerKey, Secret, TextName, encode_control,
        parse_message,
    },
};

/// What a client can prove to a relay.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The answer to challenges.
    pub token: Option<Secret>,
    /// What makes the client the owner of a name, so that it can take it over from a connection of its own that is lost.
    pub owner: Option<Secret>,
}

impl Credentials {
    /// What a hello says of the owner of `name`.
    pub fn owner_key(&self, name: &TextName) -> Option<OwnerKey> {
        self.owner.as_ref().map(|owner| owner.owner_key(name.as_bytes()))
    }
}

/// Says `hello`, proves the token if the relay asks for one, and gives the JSON of the relay's answer. Whatever came behind it is in
/// `decoder`. There is no deadline: the caller has one for the whole of connecting.
///
/// # Errors
/// The relay's refusal ([`LinkError::Refused`]), or the end of the connection.
pub async fn greet(
    stream: &TcpStream,
    hello: &Hello,
    credentials: &Credentials,
    decoder: &mut Decoder,
) -> Result<Vec<u8>, LinkError> {
    let mut frame = Vec::new();
    encode_control(&mut frame, hello);
    // The proof is of the very bytes that are sent: the JSON behind `|{length}|`.
    let json_start = frame.iter().skip(1).position(|byte| *byte == b'|').map_or(0, |at| at + 2);
    write_all(stream, &frame).await?;
    let json = next_control(stream, decoder).await?;
    let Ok(Challenge { challenge }) = parse_message(&json) else { return Ok(json) };
    let token = credentials.token.as_ref().ok_or(LinkError::NoToken)?;
    let answer = Answer { answer: token.answer(&challenge, &frame[json_start..]) };
    let mut reply = Vec::new();
    encode_control(&mut reply, &answer);
    write_all(stream, &reply).await?;
    next_control(stream, decoder).await
}

/// The JSON of the next control frame, unless it is an error.
async fn next_control(stream: &TcpStream, decoder: &mut Decoder) -> Result<Vec<u8>, LinkError> {
    let mut buffer = vec![0; 4 << 10];
    loop {
        if let Some(frame) = decoder.next_frame()? {
            if !frame.sender.is_empty() {
                return Err(LinkError::NoAnswer);
            }
            return match FromRelay::parse(&frame.payload) {
                Ok(Some(FromRelay::Error(error))) => {
                    Err(LinkError::Refused { code: error.code, message: error.message })
                }
                _ => Ok(frame.payload),
            };
        }
        match read_some(stream, &mut buffer).await {
            Ok(0) => return Err(LinkError::Ended),
            Ok(n) => decoder.feed(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(LinkError::Ended),
            Err(error) => return Err(error.into()),
        }
    }
}
