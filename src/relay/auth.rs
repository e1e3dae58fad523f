//! The proof of a token: what stands between a hello, whatever it asks for, and acting on it.

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    handshake::read_more,
    policy::{Identity, Policy},
    refusal::Refusal,
};
use crate::{
    net::write_all,
    wire::{Answer, CONTROL_BYTES_MAX, encode_challenge, encode_control, parse_header, parse_message},
};

/// Finds out who sent `hello`, the JSON of a version 2 connection's first frame. If the relay has tokens, the client has until `deadline`
/// to prove that it has one of them. `rest` is what was received behind the hello, and afterwards what was received behind the proof.
///
/// # Errors
/// The client is not let in.
pub(super) async fn identify(
    stream: &TcpStream,
    policy: &Policy,
    hello: &[u8],
    rest: &mut Vec<u8>,
    deadline: Instant,
) -> Result<Identity, Refusal> {
    if !policy.wants_token() {
        return Ok(Identity::Anybody);
    }
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(Refusal::NoChallenge)?;
    let challenge = encode_challenge(&nonce);
    let answer =
        timeout_at(deadline, ask(stream, &challenge, rest)).await.unwrap_or(Err(Refusal::NoToken))?;
    policy.identify(&challenge.challenge, hello, &answer.answer).ok_or(Refusal::WrongToken)
}

async fn ask(
    stream: &TcpStream,
    challenge: &impl serde::Serialize,
    rest: &mut Vec<u8>,
) -> Result<Answer, Refusal> {
    let mut frame = Vec::new();
    encode_control(&mut frame, challenge);
    write_all(stream, &frame).await.map_err(Refusal::Gone)?;
    loop {
        if let Some((answer, used)) = parse_answer(rest)? {
            rest.drain(..used);
            return Ok(answer);
        }
        // A client without a token cannot answer and leaves: what it lacks says more than that it went.
        read_more(stream, rest).await.map_err(|_| Refusal::NoToken)?;
    }
}

/// The answer at the start of `input` and how many bytes it takes, once it is complete. Anything else in its place is no answer.
fn parse_answer(input: &[u8]) -> Result<Option<(Answer, usize)>, Refusal> {
    let Some(header) = parse_header(input).map_err(Refusal::Header)? else { return Ok(None) };
    if header.name_bytes > 0 || header.length > CONTROL_BYTES_MAX {
        return Err(Refusal::NoToken);
    }
    let (start, end) = (header.header_bytes, header.header_bytes + header.length as usize);
    let Some(json) = input.get(start..end) else { return Ok(None) };
    let answer = parse_message(json).map_err(|_| Refusal::NoToken)?;
    Ok(Some((answer, end)))
}
