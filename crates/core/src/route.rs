//! One read batch -> the recipients it touches -> one flush each.
//!
//! The straight line of every message: header ([`parse_header`]), recipient ([`Batch::find`], then the registry), space in its outbox,
//! bytes collected in the batch. A header that repeats the one before it, as in any busy conversation, is not parsed again.

use std::io::IoSlice;

use crate::{
    batch::{Batch, Found},
    close::CloseReason,
    driver::{Driver, Framing, Peer, RouteLimits},
    mutation::{self, Mutation},
    outbox::{Grant, Reserved, WriteMode},
    undeliverable::{Lost, encode_notice},
    wire::{
        BadControl, CONTROL_BYTES_MAX, ErrorCode, ErrorNotice, FromClient, FromRelay, Header, encode_control,
        encode_header, parse_header,
    },
};

/// What is passed on at once of a message that is streamed, at least: with less, a small queue would cost a system call for every few bytes.
const PIECE_BYTES: usize = 16 << 10;

/// The longest answer to a frame besides notices of undeliverable messages: an error with its sentence.
const ANSWER_BYTES: usize = 256;

/// Space for answers that is asked for at once.
const ANSWERS_BYTES: usize = 4 << 10;

/// A message of which part has been handled.
#[derive(Debug, Default)]
pub(crate) enum Unfinished<P> {
    /// The next byte starts a header.
    #[default]
    None,
    /// A raw message on its way through; its sender holds the recipient.
    Streamed { to: P, left: u64 },
    /// A message for nobody, or one that was refused.
    Discarded { left: u64 },
}

/// Why routing stopped where it did.
#[derive(Debug)]
pub(crate) enum Stop<P> {
    /// The rest is the start of a message of which `missing` more bytes are needed (0: not known yet).
    Incomplete { missing: usize },
    /// The next frame needs space in the outbox of this client.
    Blocked(P),
    /// The session cannot go on.
    Failed(CloseReason),
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

/// What became of a message.
enum Step<P> {
    /// It is in the batch as a whole.
    Whole,
    /// Its header is used up and the payload follows.
    Begun(Unfinished<P>),
    /// Its recipient has just left.
    Gone,
}

/// Routes the frames in one input on behalf of one sender.
pub(crate) struct Router<'a, D: Driver> {
    driver: &'a D,
    limits: RouteLimits,
    sender: &'a D::Peer,
    batch: &'a mut Batch<D::Peer>,
    lost: &'a mut Lost,
    unfinished: &'a mut Unfinished<D::Peer>,
    input: &'a [u8],
    /// The input is part of a larger flow; see [`WriteMode::Batch`].
    is_bulk: bool,
    /// Space in the sender's own outbox for what the relay answers, and how much of it is promised.
    answers: Grant,
    promised: usize,
}

impl<'a, D: Driver> Router<'a, D> {
    pub(crate) fn new(
        driver: &'a D,
        sender: &'a D::Peer,
        batch: &'a mut Batch<D::Peer>,
        lost: &'a mut Lost,
        unfinished: &'a mut Unfinished<D::Peer>,
        input: &'a [u8],
        is_bulk: bool,
    ) -> Self {
        let (limits, answers) = (driver.limits(), Grant::default());
        Self { driver, limits, sender, batch, lost, unfinished, input, is_bulk, answers, promised: 0 }
    }

    /// Routes as much of the input as possible, writes out what was collected and says how many bytes were used up and why no more.
    pub(crate) fn run(mut self) -> (usize, Stop<D::Peer>) {
        let mut at = 0;
        let stop = match self.go_on(&mut at) {
            Ok(()) => loop {
                mutation::burn();
                if let Err(stop) = self.frames(&mut at) {
                    break stop;
                }
            },
            Err(stop) => stop,
        };
        self.report();
        self.finish_batch();
        (at, stop)
    }

    /// Writes out what was collected. Targets found before are none any more.
    fn finish_batch(&mut self) {
        self.batch.finish(self.driver, self.sender, self.input, self.is_bulk);
    }

    /// Frames that start with a header, up to the first that leaves something unfinished.
    fn frames(&mut self, at: &mut usize) -> Result<(), Stop<D::Peer>> {
        let input = self.input;
        let small_max = self.small_max();
        let mut repeated: &[u8] = &[];
        let mut header = Header { name_bytes: 0, header_bytes: 0, length: 0 };
        let mut target = Target::Nobody;
        loop {
            mutation::burn();
            let rest = &input[*at..];
            if repeated.is_empty() || !rest.starts_with(repeated) {
                header = match parse_header(rest) {
                    Ok(Some(header)) => header,
                    Ok(None) => return Err(Stop::Incomplete { missing: 0 }),
                    Err(error) => return Err(Stop::Failed(CloseReason::BadHeader(error))),
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
                Target::Relay => {
                    self.control(start, &header, arrived)?;
                    *at = start + length;
                    // The batch may have been written out meanwhile.
                    repeated = &[];
                }
                Target::Nobody => {
                    self.discard_lost(&rest[..header.name_bytes])?;
                    *at = start;
                    self.discard(at, header.length);
                    self.go_on(at)?;
                }
                Target::Delivery(to) => match self.message(to, *at, &header, arrived)? {
                    Step::Whole => *at = start + length,
                    Step::Begun(unfinished) => {
                        *self.unfinished = unfinished;
                        *at = start;
                        self.go_on(at)?;
                        repeated = &[];
                    }
                    Step::Gone => target = Target::Nobody,
                },
            }
        }
    }

    /// The longest raw message that takes the short way.
    fn small_max(&self) -> usize {
        let limit = match self.sender.framing() {
            Framing::Session => self.limits.stream_bytes_min.min(self.limits.message_bytes_max),
            _ => self.limits.stream_bytes_min,
        };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// The delivery for a name, looked up once a batch.
    fn resolve(&mut self, name: &[u8]) -> Target {
        match self.batch.find(name) {
            Found::Delivery(at) => Target::Delivery(at),
            Found::Vacant(_) if name.is_empty() && self.sender.framing() == Framing::Session => Target::Relay,
            Found::Vacant(_) => match self.driver.find(name) {
                Some(peer) => Target::Delivery(self.place(peer)),
                None => Target::Nobody,
            },
        }
    }

    /// The recipient's place in the batch. Every message needs one, also one of no bytes, which needs no space.
    fn place(&mut self, peer: D::Peer) -> usize {
        if self.batch.is_full() {
            self.finish_batch();
        }
        match self.batch.find(peer.name()) {
            Found::Delivery(at) => at,
            Found::Vacant(slot) => self.batch.insert(slot, peer),
        }
    }

    /// A message that the short way did not take: framed, large, without space, or not here as a whole.
    fn message(
        &mut self,
        to: usize,
        at: usize,
        header: &Header,
        arrived: usize,
    ) -> Result<Step<D::Peer>, Stop<D::Peer>> {
        let Some(peer) = self.batch.get(to).peer().cloned() else { return Ok(Step::Gone) };
        let raw = peer.framing() == Framing::Raw;
        let itself = peer == *self.sender;
        if header.length == 0 && (raw || itself) {
            return Ok(Step::Whole);
        }
        if header.length > self.limits.message_bytes_max
            && (!raw || self.sender.framing() == Framing::Session)
        {
            return self.refuse(header.length);
        }
        if raw && header.length > self.limits.stream_bytes_min {
            let here = arrived.min(usize::try_from(header.length).unwrap_or(usize::MAX));
            if !self.space(to, &peer, here.clamp(1, PIECE_BYTES), at, true)? {
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
        let sender = self.sender.name();
        let needed =
            if raw { length } else { length + sender.len() + header.header_bytes - header.name_bytes };
        if !self.batch.get(to).fits(needed) && !self.space(to, &peer, needed, at, false)? {
            return Ok(Step::Gone);
        }
        let delivery = self.batch.get(to);
        if !raw {
            delivery.copy_with(|out| encode_header(out, sender, header.length));
        }
        delivery.add(self.input, start, start + length);
        Ok(Step::Whole)
    }

    /// Gets space for at least `needed` more bytes to a recipient, and for what the input from `at` on may still have for it. False if the
    /// recipient is gone.
    fn space(
        &mut self,
        to: usize,
        peer: &D::Peer,
        needed: usize,
        at: usize,
        hold: bool,
    ) -> Result<bool, Stop<D::Peer>> {
        self.batch.flush(to, self.driver, self.sender, self.input);
        let want = self.input.len() - at;
        match self.driver.outbox(peer, |outbox| outbox.reserve(self.sender, needed, want, hold)) {
            Reserved::Granted(grant) => {
                self.batch.get(to).set_grant(grant);
                Ok(true)
            }
            Reserved::Wait => Err(Stop::Blocked(peer.clone())),
            Reserved::Closed => Ok(false),
        }
    }

    /// Goes on with a message that was begun.
    fn go_on(&mut self, at: &mut usize) -> Result<(), Stop<D::Peer>> {
        match std::mem::take(self.unfinished) {
            Unfinished::None => Ok(()),
            Unfinished::Discarded { left } => {
                self.discard(at, left);
                self.is_through()
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

    /// Whether nothing is unfinished.
    fn is_through(&self) -> Result<(), Stop<D::Peer>> {
        if matches!(self.unfinished, Unfinished::None) {
            Ok(())
        } else {
            Err(Stop::Incomplete { missing: 0 })
        }
    }

    /// Passes on what has arrived of a raw message to the recipient that is held for it, piece by piece as there is space.
    fn stream(&mut self, at: &mut usize, to: D::Peer, mut left: u64) -> Result<(), Stop<D::Peer>> {
        loop {
            mutation::burn();
            let delivery = self.place(to.clone());
            let here = (self.input.len() - *at).min(usize::try_from(left).unwrap_or(usize::MAX));
            if here > 0 && self.batch.get(delivery).space() == 0 {
                match self.space(delivery, &to, here.min(PIECE_BYTES), *at, false) {
                    Ok(true) => {}
                    Ok(false) => {
                        // The recipient is gone; nobody else may get the rest of its message.
                        self.finish_batch();
                        self.discard(at, left);
                        return self.is_through();
                    }
                    Err(stop) => {
                        *self.unfinished = Unfinished::Streamed { to, left };
                        return Err(stop);
                    }
                }
            }
            let delivery = self.batch.get(delivery);
            let piece = here.min(delivery.space());
            delivery.add(self.input, *at, *at + piece);
            *at += piece;
            left -= piece as u64;
            if left == 0 {
                delivery.end_hold();
                return Ok(());
            }
            if piece == here {
                *self.unfinished = Unfinished::Streamed { to, left };
                return Err(Stop::Incomplete { missing: 0 });
            }
            // What did not fit is tried again when this piece has been written.
        }
    }

    /// A message over the limit: version 2 is told and goes on, version 1 cannot be told.
    fn refuse(&mut self, length: u64) -> Result<Step<D::Peer>, Stop<D::Peer>> {
        if self.sender.framing() != Framing::Session {
            return Err(Stop::Failed(CloseReason::TooLarge(length)));
        }
        let limit = self.limits.message_bytes_max;
        let message = format!("a message of {length} bytes was discarded; the limit is {limit}");
        self.tell(&FromRelay::Error(ErrorNotice { code: ErrorCode::TooLarge, message }))?;
        Ok(Step::Begun(Unfinished::Discarded { left: length }))
    }

    /// A control frame of version 2.
    fn control(&mut self, start: usize, header: &Header, arrived: usize) -> Result<(), Stop<D::Peer>> {
        if header.length > CONTROL_BYTES_MAX {
            return Err(Stop::Failed(BadControl::TooLong.into()));
        }
        let length = header.length as usize;
        if length > arrived {
            return Err(Stop::Incomplete { missing: length - arrived });
        }
        match FromClient::parse(&self.input[start..start + length]) {
            Err(error) => Err(Stop::Failed(error.into())),
            Ok(Some(FromClient::Ping(number))) => {
                // The pong says that everything before it was routed, so what was collected for others goes out first: whoever has heard
                // the pong may have a recipient leave.
                self.finish_batch();
                self.tell(&FromRelay::Pong(number))
            }
            Ok(Some(FromClient::Unpark(_)) | None) => {
                let message = "this relay does not know the verb; the session goes on".to_owned();
                self.tell(&FromRelay::Error(ErrorNotice { code: ErrorCode::UnknownVerb, message }))
            }
        }
    }

    /// Counts a message to a name that nobody has. A sender that is told has space for the notice first.
    fn discard_lost(&mut self, name: &[u8]) -> Result<(), Stop<D::Peer>> {
        let needed = self.lost.notice_bytes(name);
        if needed > 0 && self.lost.is_full() {
            self.report();
        }
        if self.sender.framing() == Framing::Session {
            self.promise(needed)?;
        }
        self.lost.add(name);
        Ok(())
    }

    /// Answers the sender, behind the notices about what it sent before.
    fn tell(&mut self, message: &FromRelay) -> Result<(), Stop<D::Peer>> {
        self.promise(ANSWER_BYTES)?;
        let mut bytes = self.take_notices();
        encode_control(&mut bytes, message);
        self.answer(&bytes);
        Ok(())
    }

    /// Reports undeliverable messages.
    fn report(&mut self) {
        if !self.lost.is_empty() || self.answers.bytes() > 0 {
            let notices = self.take_notices();
            self.answer(&notices);
        }
    }

    fn take_notices(&mut self) -> Vec<u8> {
        let mut notices = Vec::new();
        let (driver, sender) = (self.driver, self.sender);
        self.lost.drain(|name, count| {
            driver.undeliverable(sender, name, count);
            if sender.framing() == Framing::Session {
                encode_notice(&mut notices, name, count);
            }
        });
        notices
    }

    /// Has space in the sender's own outbox for `needed` more bytes of answers.
    fn promise(&mut self, needed: usize) -> Result<(), Stop<D::Peer>> {
        if mutation::is_on(Mutation::AnswerWithoutSpace) {
            return Ok(());
        }
        if needed > self.answers.bytes() - self.promised {
            // What there is to say is said first, so that all of the space asked for now is for what comes.
            self.report();
            let want = ANSWERS_BYTES;
            match self.driver.outbox(self.sender, |outbox| outbox.reserve(self.sender, needed, want, false)) {
                Reserved::Granted(grant) => self.answers = grant,
                Reserved::Wait => return Err(Stop::Blocked(self.sender.clone())),
                Reserved::Closed => return Err(Stop::Failed(CloseReason::Disconnected)),
            }
        }
        self.promised += needed;
        Ok(())
    }

    /// Sends the sender something of the relay's own, behind what it sent to itself, and gives back what is left of the space for it.
    fn answer(&mut self, bytes: &[u8]) {
        if let Found::Delivery(at) = self.batch.find(self.sender.name()) {
            self.batch.flush(at, self.driver, self.sender, self.input);
        }
        let grant = std::mem::take(&mut self.answers);
        self.promised = 0;
        if mutation::is_on(Mutation::AnswerWithoutSpace) {
            self.driver.outbox(self.sender, |outbox| outbox.append(bytes));
            self.driver.wake(self.sender);
        } else if !bytes.is_empty() {
            let slices = &mut [IoSlice::new(bytes)];
            self.driver.deliver(self.sender, self.sender, grant, slices, WriteMode::Flush, false);
        } else if grant.bytes() > 0 {
            let todo = self.driver.outbox(self.sender, |outbox| outbox.give_back(grant));
            self.driver.act(self.sender, todo);
        }
    }
}
