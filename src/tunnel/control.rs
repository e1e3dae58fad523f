//! The control session of an exposed service, seen from the exposer.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Service,
    access::{Access, Answered},
};
use crate::{
    client::LinkError,
    wire::{Decoder, Exposed, FromClient, FromRelay, Hello, Ownership, encode_control},
};

/// How often the relay is asked whether it is there, at most: an exposer that was cut off is to come back within seconds.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The same at least, whatever a relay asks for.
const PING_EVERY_MIN: Duration = Duration::from_millis(50);

/// How long a pong may take before the relay counts as gone. Nothing else is sent on this connection, so there is nothing it could
/// be waiting behind.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Read at once: control frames are a few bytes.
const READ_BYTES: usize = 4096;

/// A running control session.
#[derive(Debug)]
pub(super) struct Control {
    stream: TcpStream,
    decoder: Decoder,
    pub(super) exposed: Exposed,
    ping_every: Duration,
    next_ping: Instant,
    pings: u64,
    /// When the ping was sent that is not answered yet.
    unanswered: Option<Instant>,
}

/// What the relay wants of the exposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// So many visitors wait for a connection.
    Wanted(u32),
}

impl Control {
    /// Asks the relay for the service's name, and for a public port; with `if_free`, only if not even the same owner has the name.
    pub(super) async fn open(
        access: &Access,
        service: &Service,
        port: Option<u16>,
        if_free: bool,
    ) -> Result<Self, LinkError> {
        let ownership = Ownership { owner: access.credentials.owner_key(&service.name), if_free };
        let hello = Hello::Expose { name: service.name.clone(), port, ownership };
        let Answered { stream, answer: exposed, decoder } = access.ask::<Exposed>(&hello).await?;
        let ping_every = PING_EVERY.min(Duration::from_millis(exposed.idle_ms) / 3).max(PING_EVERY_MIN);
        let next_ping = Instant::now() + ping_every;
        Ok(Self { stream, decoder, exposed, ping_every, next_ping, pings: 0, unanswered: None })
    }

    /// What the relay wants next. Keeps the session alive meanwhile. May be cancelled without losing anything.
    ///
    /// # Errors
    /// The session has ended.
    pub(super) async fn next(&mut self) -> Result<Demand, LinkError> {
        loop {
            while let Some(frame) = self.decoder.next_frame()? {
                match FromRelay::parse(&frame.payload) {
                    Ok(Some(FromRelay::Wanted(count))) => return Ok(Demand::Wanted(count)),
                    Ok(Some(FromRelay::Pong(number))) if number == self.pings => self.unanswered = None,
                    Ok(Some(FromRelay::Closing(closing))) => {
                        return Err(LinkError::Closing(Duration::from_millis(closing.retry_ms)));
                    }
                    Ok(Some(FromRelay::Error(error))) => {
                        return Err(LinkError::Refused { code: error.code, message: error.message });
                    }
                    // A newer relay's words are not for this program.
                    _ => {}
                }
            }
            // Whoever has always something to say does not keep this program from other work, nor from its pings.
            tokio::task::consume_budget().await;
            let pong_due = self.unanswered.map(|since| since + PONG_TIMEOUT);
            let wake = pong_due.map_or(self.next_ping, |due| due.min(self.next_ping));
            tokio::select! {
                biased;
                () = sleep_until(wake) => {
                    if pong_due.is_some_and(|due| due <= Instant::now()) {
                        return Err(LinkError::Dead);
                    }
                    self.ping().await?;
                }
                ready = self.stream.readable() => {
                    ready?;
                    self.receive()?;
                }
            }
        }
    }

    /// Has the relay end connections that are parked and no longer needed.
    pub(super) async fn unpark(&mut self, count: u32) -> Result<(), LinkError> {
        self.say(FromClient::Unpark(count)).await
    }

    async fn ping(&mut self) -> Result<(), LinkError> {
        self.next_ping = Instant::now() + self.ping_every;
        if self.unanswered.is_none() {
            self.pings += 1;
            self.unanswered = Some(Instant::now());
            self.say(FromClient::Ping(self.pings)).await?;
        }
        Ok(())
    }

    async fn say(&mut self, message: FromClient) -> Result<(), LinkError> {
        let mut frame = Vec::new();
        encode_control(&mut frame, &message);
        let written = timeout(PONG_TIMEOUT, self.stream.write_all(&frame)).await;
        Ok(written.map_err(|_| LinkError::Dead)??)
    }

    fn receive(&mut self) -> Result<(), LinkError> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(LinkError::Ended),
            Ok(n) => {
                self.decoder.feed(&buffer[..n]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::CONTROL_BYTES_MAX;

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_answers_no_ping_is_gone_after_the_time_for_a_pong() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _relay = listener.accept().await.unwrap();
        let since = Instant::now();
        let mut control = Control {
            stream,
            decoder: Decoder::new(CONTROL_BYTES_MAX),
            exposed: Exposed {
                hello: crate::wire::PROTOCOL_VERSION,
                exposed: crate::wire::TextName::new("web").unwrap(),
                key: String::new(),
                idle_ms: 30_000,
                port: None,
            },
            ping_every: PING_EVERY,
            next_ping: since + PING_EVERY,
            pings: 0,
            unanswered: None,
        };
        assert!(matches!(control.next().await, Err(LinkError::Dead)));
        let (took, limit) = (since.elapsed(), PING_EVERY + PONG_TIMEOUT);
        assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
    }
}
