//! One transfer, from its offer until the receiver has all of it.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::{Send, WAIT_STEP};
use crate::{
    cli::{Failure, progress::Progress},
    client::{DATA_PREFIX, Event, Link, LinkError, Outgoing, Part, Refusal},
    wire::FromRelay,
};

/// How long a receiver may take to say that it is ready. A program that answers at all does so at once.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a sender that has nothing to send, or waits for the end, looks whether the receiver is still there.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// A transfer that goes out.
pub(super) struct Transfer<'a, F> {
    pub(super) send: &'a Send,
    pub(super) link: &'a mut Link,
    /// How a link's end becomes a sentence.
    pub(super) fail: &'a F,
    /// Bytes of the input, if that is known.
    pub(super) total: Option<u64>,
    pub(super) progress: &'a Progress,
}

/// How far the data is.
#[derive(Default)]
struct Way {
    /// Bytes sent.
    sent: u64,
    /// Bytes of them that the relay has passed on.
    passed_on: u64,
    /// Pings behind the data, and the bytes before each.
    pings: VecDeque<(u64, u64)>,
}

impl<F: Fn(&LinkError) -> Failure> Transfer<'_, F> {
    /// Offers the transfer, sends the data, and waits until the receiver has it.
    pub(super) async fn run(mut self, mut pieces: Outgoing) -> Result<(), Failure> {
        self.begin().await?;
        let mut way = Way::default();
        loop {
            tokio::select! {
                // What the receiver and the relay have to say goes first.
                biased;
                event = self.link.next() => {
                    self.look_at(&event.map_err(|error| (self.fail)(&error))?, &mut way)?;
                }
                piece = pieces.recv() => {
                    let failed = |e| Failure::new(format!("cannot read what is to be sent: {e}."));
                    let Some(piece) = piece.transpose().map_err(failed)? else { break };
                    self.say(&piece.payload).await?;
                    way.sent += (piece.payload.len() - DATA_PREFIX.len()) as u64;
                    let ping = self.link.ping().await.map_err(|error| (self.fail)(&error))?;
                    way.pings.push_back((ping, way.sent));
                    self.progress.set(way.sent);
                    if piece.is_last {
                        break;
                    }
                }
                // Unless the receiver has left, the relay says nothing to that.
                () = sleep(PROBE_INTERVAL) => self.say(&Part::Probe.payload()).await?,
            }
        }
        self.say(&Part::End(way.sent).payload()).await?;
        self.end(way).await
    }

    /// Offers the transfer until somebody has the name, as long as `--wait` says, and waits until they are ready.
    async fn begin(&mut self) -> Result<(), Failure> {
        let patience = Instant::now() + self.send.wait.0;
        loop {
            self.say(&Part::Begin(self.total).payload()).await?;
            let deadline = Instant::now() + READY_TIMEOUT;
            if self.is_ready(deadline).await? {
                return Ok(());
            }
            if Instant::now() >= patience {
                return Err(self.send.nobody());
            }
            sleep(WAIT_STEP.min(patience.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Waits until the receiver is ready; false when nobody has the name.
    async fn is_ready(&mut self, deadline: Instant) -> Result<bool, Failure> {
        loop {
            let Ok(event) = timeout_at(deadline, self.link.next()).await else {
                let name = &self.send.dest;
                return Err(Failure::new(format!(
                    "{name} is there, but takes no transfer; start `relay recv --transfer --as {name}` there, or send a single \
                     message, without --transfer."
                )));
            };
            let event = event.map_err(|error| (self.fail)(&error))?;
            if event.is_undelivered(self.send.dest.as_bytes()) {
                return Ok(false);
            }
            if self.part(&event)? == Some(Part::Ready) {
                return Ok(true);
            }
        }
    }

    /// Waits until the receiver has written everything, however long that takes.
    async fn end(&mut self, mut way: Way) -> Result<(), Failure> {
        loop {
            let Ok(event) = timeout(PROBE_INTERVAL, self.link.next()).await else {
                self.say(&Part::Probe.payload()).await?;
                continue;
            };
            let event = event.map_err(|error| (self.fail)(&error))?;
            self.look_at(&event, &mut way)?;
            match self.part(&event)? {
                Some(Part::Received(bytes)) if bytes == way.sent => return Ok(()),
                Some(Part::Received(_)) => return Err(self.send.refused(Refusal::Broken)),
                _ => {}
            }
        }
    }

    /// What an event says of data that is on its way.
    fn look_at(&self, event: &Event, way: &mut Way) -> Result<(), Failure> {
        if event.is_undelivered(self.send.dest.as_bytes()) {
            return Err(self.left(way.passed_on));
        }
        if let Event::Control(FromRelay::Pong(number)) = event {
            while let Some((_, bytes)) = way.pings.front().filter(|(ping, _)| ping <= number) {
                way.passed_on = *bytes;
                way.pings.pop_front();
            }
        }
        self.part(event).map(|_| ())
    }

    /// What the receiver says.
    fn part<'e>(&self, event: &'e Event) -> Result<Option<Part<'e>>, Failure> {
        match event {
            Event::Message(frame) if frame.sender == self.send.dest.as_bytes() => {
                match Part::parse(&frame.payload) {
                    Some(Part::Refused(why)) => Err(self.send.refused(why)),
                    part => Ok(part),
                }
            }
            Event::Control(FromRelay::Error(error)) => {
                Err((self.fail)(&LinkError::Refused { code: error.code, message: error.message.clone() }))
            }
            _ => Ok(None),
        }
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let sent = self.link.send(self.send.dest.as_bytes(), payload).await;
        sent.map_err(|error| (self.fail)(&error))
    }

    fn left(&self, passed_on: u64) -> Failure {
        let name = &self.send.dest;
        let of = self.total.map_or_else(String::new, |total| format!(" of {total}"));
        Failure::new(format!(
            "{name} left after {passed_on}{of} bytes were passed on; start it again and send everything again."
        ))
    }
}
