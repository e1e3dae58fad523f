//! One read batch -> the recipients it touches -> one flush each.
//!
//! The straight line of every message: header ([`parse_header`]), recipient ([`Batch::find`], then the registry), room in its outbox,
//! bytes collected in the batch. A header that repeats the one before it, as in any busy conversation, is not parsed again.

use std::sync::Arc;

use super::{
    Shared,
    batch::{Batch, Found},
    clock::Tick,
    ending::Ending,
    lost::Lost,
    outbox::Admission,
    peer::{Framing, Haste, Peer},
};
use crate::wire::{
    BadControl, CONTROL_BYTES_MAX, ErrorCode, ErrorNotice, FromClient, FromRelay, Header, encode_control,
    encode_header, parse_header,
};

/// A message of which part has been handled.
#[derive(Debug, Default)]
pub(super) enum Unfinished {
    /// The next byte starts a header.
    #[default]
    None,
    /// A raw message on its way through; its sender holds the recipient.
    Streamed { to: Arc<Peer>, left: u64 },
    /// A message for nobody, or one that was refused.
    Discarded { left: u64 },
}

/// Why routing stopped where it did.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rest is the start of a message of which `missing` more bytes are needed (0: not known yet).
    Incomplete { missing: usize },
    /// The next message is for a peer that has no room.
    Blocked(Arc<Peer>),
    /// The session cannot go on.
    Failed(Ending),
}

/// What a header leads to.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// The delivery at this position of the batch.
    Delivery(usize),
    Nobody,
    /// The relay itself, in version 2.
    Relay,
}

/// Routes the frames in one input on behalf of one sender.
pub(super) struct Router<'a> {
    pub(super) shared: &'a Shared,
    pub(super) sender: &'a Arc<Peer>,
    pub(super) batch: &'a mut Batch,
    pub(super) lost: &'a mut Lost,
    pub(super) unfinished: &'a mut Unfinished,
    pub(super) input: &'a [u8],
    /// The input is part of a larger flow; see [`Haste::Together`].
    pub(super) is_bulk: bool,
    pub(super) now: Tick,
}

impl Router<'_> {
    /// Routes as much of the input as possible, writes out what was collected and says how many bytes were used up and why no more.
    pub(super) fn run(mut self) -> (usize, Stop) {
        let mut at = 0;
        let stop = match self.go_on(&mut at) {
            Ok(()) => loop {
                if let Err(stop) = self.frames(&mut at) {
                    break stop;
                }
            },
            Err(stop) => stop,
        };
        self.report_lost();
        self.batch.finish(self.sender, self.input, self.is_bulk, &self.shared.gather, self.now);
        (at, stop)
    }

    /// Frames that start with a header, up to the first that leaves something unfinished.
    fn frames(&mut self, at: &mut usize) -> Result<(), Stop> {
        let input = self.input;
        let small_max = self.small_max();
        let mut repeated: &[u8] = &[];
        let mut header = Header { name_bytes: 0, header_bytes: 0, length: 0 };
        let mut target = Target::Nobody;
        loop {
            let rest = &input[*at..];
            if repeated.is_empty() || !rest.starts_with(repeated) {
                header = match parse_header(rest) {
                    Ok(Some(header)) => header,
                    Ok(None) => return Err(Stop::Incomplete { missing: 0 }),
                    Err(error) => return Err(Stop::Failed(Ending::BadHeader(error))),
                };
                target = self.resolve(&rest[..header.name_bytes]);
                repeated = &rest[..header.header_bytes];
            }
            // A length that does not fit a usize is one that has not arrived.
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let arrived = rest.len() - header.header_bytes;
            let start = *at + header.header_bytes;

            if let (Target::Delivery(to), true) = (target, length <= arrived) {
                let delivery = self.batch.get(to);
                if delivery.is_raw() && length <= small_max && delivery.fits(length) {
                    delivery.add(input, start, start + length);
                    *at = start + length;
                    continue;
                }
            }
            match target {
                Target::Relay => self.control(start, &header, arrived)?,
                Target::Nobody => {
                    self.lost.add(&rest[..header.name_bytes]);
                    if self.lost.is_full() {
                        self.report_lost();
                    }
                    *at = start;
                    self.discard(at, header.length);
                    self.go_on(at)?;
                    continue;
                }
                Target::Delivery(to) => match self.message(to, *at, &header, arrived)? {
                    Step::Whole => {}
                    Step::Begun(unfinished) => {
                        *self.unfinished = unfinished;
                        *at = start;
                        self.go_on(at)?;
                        // The batch may have been written out meanwhile.
                        repeated = &[];
                        continue;
                    }
                    Step::Gone => {
                        target = Target::Nobody;
                        continue;
                    }
                },
            }
            *at = start + length;
            if self.batch.is_full() {
                self.batch.finish(self.sender, self.input, self.is_bulk, &self.shared.gather, self.now);
                repeated = &[];
            }
        }
    }

    /// The longest raw message that takes the short way.
    fn small_max(&self) -> usize {
        let config = &self.shared.config;
        let limit = match self.sender.framing() {
            Framing::Session => config.stream_bytes_min.min(config.message_bytes_max),
            _ => config.stream_bytes_min,
        };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// The delivery for a name, looked up once a batch.
    fn resolve(&mut self, name: &[u8]) -> Target {
        match self.batch.find(name) {
            Found::Delivery(at) => Target::Delivery(at),
            Found::Vacant(_) if name.is_empty() && self.sender.framing() == Framing::Session => Target::Relay,
            Found::Vacant(slot) => match self.shared.registry.get(name) {
                Some(peer) => Target::Delivery(self.batch.insert(slot, peer)),
                None => Target::Nobody,
            },
        }
    }

    /// A message that the short way did not take: framed, large, without room, or not here as a whole.
    fn message(&mut self, to: usize, at: usize, header: &Header, arrived: usize) -> Result<Step, Stop> {
        let Some(peer) = self.batch.get(to).peer().cloned() else { return Ok(Step::Gone) };
        let raw = peer.framing() == Framing::Raw;
        let itself = Arc::ptr_eq(&peer, self.sender);
        if header.length == 0 && (raw || itself) {
            return Ok(Step::Whole);
        }
        if header.length > self.shared.config.message_bytes_max
            && (!raw || self.sender.framing() == Framing::Session)
        {
            return self.refuse(header.length);
        }
        if raw && header.length > self.shared.config.stream_bytes_min {
            self.room(to, &peer, 1, true)?;
            if self.batch.get(to).room() == 0 {
                return Ok(Step::Gone);
            }
            return Ok(Step::Begun(Unfinished::Streamed { to: peer, left: header.length }));
        }
        // Below the limits, so it fits a usize.
        let length = header.length as usize;
        if length > arrived {
            return Err(Stop::Incomplete { missing: length - arrived });
        }
        let start = at + header.header_bytes;
        let sender = self.sender.name().as_bytes();
        let needed =
            if raw { length } else { length + sender.len() + header.header_bytes - header.name_bytes };
        self.room(to, &peer, needed, false)?;
        let delivery = self.batch.get(to);
        if delivery.room() == 0 {
            return Ok(Step::Gone);
        }
        if !raw {
            delivery.copy_with(|out| encode_header(out, sender, header.length));
        }
        delivery.add(self.input, start, start + length);
        Ok(Step::Whole)
    }

    /// Makes room for `needed` more bytes to a recipient. No room afterwards means that it is gone.
    fn room(&mut self, to: usize, peer: &Arc<Peer>, needed: usize, hold: bool) -> Result<(), Stop> {
        if !hold && self.batch.get(to).fits(needed) {
            return Ok(());
        }
        self.batch.flush(to, self.sender, self.input, &self.shared.gather, self.now);
        match peer.admit(self.sender, needed, hold) {
            Admission::Room(room) => self.batch.get(to).set_room(room),
            Admission::Wait => return Err(Stop::Blocked(Arc::clone(peer))),
            Admission::Closed => {}
        }
        Ok(())
    }

    /// Goes on with a message that was begun.
    fn go_on(&mut self, at: &mut usize) -> Result<(), Stop> {
        match std::mem::take(self.unfinished) {
            Unfinished::None => Ok(()),
            Unfinished::Discarded { left } => {
                self.discard(at, left);
                if matches!(self.unfinished, Unfinished::None) {
                    Ok(())
                } else {
                    Err(Stop::Incomplete { missing: 0 })
                }
            }
            Unfinished::Streamed { to, left } => self.stream(at, to, left),
        }
    }

    fn discard(&mut self, at: &mut usize, length: u64) {
        let here = (self.input.len() - *at) as u64;
        *at += here.min(length) as usize;
        if length > here {
            *self.unfinished = Unfinished::Discarded { left: length - here };
        }
    }

    /// Passes a piece of a raw message on to the recipient that is held for it.
    fn stream(&mut self, at: &mut usize, to: Arc<Peer>, left: u64) -> Result<(), Stop> {
        let delivery = match self.batch.find(to.name().as_bytes()) {
            Found::Delivery(delivery) => delivery,
            Found::Vacant(slot) => self.batch.insert(slot, Arc::clone(&to)),
        };
        let here = (self.input.len() - *at).min(usize::try_from(left).unwrap_or(usize::MAX));
        if here > 0 && self.batch.get(delivery).room() == 0 {
            if let Err(stop) = self.room(delivery, &to, 1, false) {
                *self.unfinished = Unfinished::Streamed { to, left };
                return Err(stop);
            }
            if self.batch.get(delivery).room() == 0 {
                // The recipient is gone; nobody else may get the rest of its message.
                self.batch.finish(self.sender, self.input, self.is_bulk, &self.shared.gather, self.now);
                *self.unfinished = Unfinished::Discarded { left };
                return self.go_on(at);
            }
        }
        let piece = here.min(self.batch.get(delivery).room());
        let delivery = self.batch.get(delivery);
        delivery.add(self.input, *at, *at + piece);
        *at += piece;
        let left = left - piece as u64;
        if left == 0 {
            delivery.end_hold();
            return Ok(());
        }
        let blocked = piece < here;
        *self.unfinished = Unfinished::Streamed { to: Arc::clone(&to), left };
        // What did not fit is tried again when this piece has been written.
        if blocked { self.go_on(at) } else { Err(Stop::Incomplete { missing: 0 }) }
    }

    /// A message over the limit: version 2 is told and goes on, version 1 cannot be told.
    fn refuse(&mut self, length: u64) -> Result<Step, Stop> {
        if self.sender.framing() != Framing::Session {
            return Err(Stop::Failed(Ending::TooLarge(length)));
        }
        let limit = self.shared.config.message_bytes_max;
        let message = format!("a message of {length} bytes was discarded; the limit is {limit}");
        self.tell(&FromRelay::Error(ErrorNotice { code: ErrorCode::TooLarge, message }));
        Ok(Step::Begun(Unfinished::Discarded { left: length }))
    }

    /// A control frame of version 2.
    fn control(&mut self, start: usize, header: &Header, arrived: usize) -> Result<(), Stop> {
        if header.length > CONTROL_BYTES_MAX {
            return Err(Stop::Failed(BadControl::TooLong.into()));
        }
        let length = header.length as usize;
        if length > arrived {
            return Err(Stop::Incomplete { missing: length - arrived });
        }
        match FromClient::parse(&self.input[start..start + length]) {
            Err(error) => return Err(Stop::Failed(error.into())),
            Ok(Some(FromClient::Ping(number))) => {
                // The pong says that everything before it was routed, so the notices about that come first, and so does what was
                // collected for others: whoever has heard the pong may have a recipient leave.
                self.report_lost();
                self.batch.finish(self.sender, self.input, self.is_bulk, &self.shared.gather, self.now);
                self.tell(&FromRelay::Pong(number));
            }
            Ok(Some(FromClient::Unpark(_)) | None) => {
                let message = "this relay does not know the verb; the session goes on".to_owned();
                self.tell(&FromRelay::Error(ErrorNotice { code: ErrorCode::UnknownVerb, message }));
            }
        }
        Ok(())
    }

    fn report_lost(&mut self) {
        if self.lost.is_empty() {
            return;
        }
        let mut notices = Vec::new();
        self.lost.drain(self.shared, self.sender, &mut notices);
        self.answer(&notices);
    }

    fn tell(&mut self, message: &FromRelay) {
        let mut bytes = Vec::new();
        encode_control(&mut bytes, message);
        self.answer(&bytes);
    }

    /// Sends the sender something of the relay's own, behind what it sent to itself. Without asking for room: the session
    /// does not read on while its own queue is full.
    fn answer(&mut self, bytes: &[u8]) {
        if let Found::Delivery(at) = self.batch.find(self.sender.name().as_bytes()) {
            self.batch.flush(at, self.sender, self.input, &self.shared.gather, self.now);
        }
        if !bytes.is_empty() {
            self.sender.deliver(
                self.sender,
                &mut [std::io::IoSlice::new(bytes)],
                Haste::Now,
                false,
                self.now,
            );
        }
    }
}

/// What became of a message.
enum Step {
    /// It is in the batch as a whole.
    Whole,
    /// Its header is used up and the payload follows.
    Begun(Unfinished),
    /// Its recipient has just left.
    Gone,
}
