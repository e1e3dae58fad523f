//! How the relay is reached: dialled anew for every connection, greeted, answered.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    client::{Credentials, LinkError, greet},
    net::{Keepalive, SocketOptions, Target, dial},
    wire::{CONTROL_BYTES_MAX, Decoder, ErrorCode, Hello, TextName, parse_message},
};

/// Finds a relay that vanished while nothing is sent: dead after 10 + 3 x 5 s.
const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(5), probes: 3 };

/// Which relay, and what is shown to it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it is; a name is resolved anew for every connection, since a relay at home changes its address.
    pub relay: Target,
    /// What proves who we are.
    pub credentials: Credentials,
    /// How long connecting and the relay's answer may take, each.
    pub connect_timeout: Duration,
}

/// A connection whose hello was answered.
#[derive(Debug)]
pub(super) struct Answered<T> {
    pub(super) stream: TcpStream,
    pub(super) answer: T,
    /// Holds what came behind the answer.
    pub(super) decoder: Decoder,
}

impl Access {
    /// Connects. For streams, whose reader may rest for as long as it likes, there is no limit on unacknowledged data.
    pub(super) async fn connect(&self) -> Result<TcpStream, LinkError> {
        let stream = dial(&self.relay, self.connect_timeout).await?;
        // Fails only for a connection that is already gone, which its first use will find out.
        let _ = SocketOptions { keepalive: Some(KEEPALIVE), user_timeout: None }.apply(&stream);
        Ok(stream)
    }

    /// Says `hello` on a new connection and waits for the answer within the timeout.
    pub(super) async fn ask<T: DeserializeOwned>(&self, hello: &Hello) -> Result<Answered<T>, LinkError> {
        let stream = self.connect().await?;
        let answered = timeout(self.connect_timeout, self.greet(stream, hello));
        answered.await.map_err(|_| LinkError::NoAnswer)?
    }

    /// Asks whether the service exists and may be used, without making a stream to it. All in all within the timeout.
    pub(super) async fn check(&self, name: &TextName) -> Result<(), LinkError> {
        let asked = async {
            let stream = self.connect().await?;
            let hello = Hello::Check { name: name.clone() };
            let mut decoder = Decoder::new(CONTROL_BYTES_MAX);
            greet(&stream, &hello, &self.credentials, &mut decoder).await
        };
        // Any answer but a refusal: a relay that does not know the question opens a stream, which ends here.
        timeout(self.connect_timeout, asked).await.map_err(|_| LinkError::NoAnswer)?.map(drop)
    }

    /// Says `hello` and waits for the answer as long as it takes.
    pub(super) async fn greet<T: DeserializeOwned>(
        &self,
        stream: TcpStream,
        hello: &Hello,
    ) -> Result<Answered<T>, LinkError> {
        let mut decoder = Decoder::new(CONTROL_BYTES_MAX);
        let json = greet(&stream, hello, &self.credentials, &mut decoder).await?;
        let answer = parse_message(&json).map_err(|_| LinkError::NoAnswer)?;
        Ok(Answered { stream, answer, decoder })
    }
}

/// Whether trying again later may help: what is wrong lies between here and the relay, not in what was asked.
pub(super) fn may_pass(error: &LinkError) -> bool {
    match error {
        LinkError::Refused { code, .. } => matches!(code, ErrorCode::Timeout | ErrorCode::TooManyStreams),
        LinkError::NoToken => false,
        _ => true,
    }
}
