//! A link that runs in the background of a conversation with a person: what arrives is kept until it is asked for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Claim, Registration,
    error::LinkError,
    link::{Event, Link, Mode},
};
use crate::wire::FromRelay;

/// What is kept for a person who does not ask for it. Beyond it the link is not read, and the senders are paused by the relay.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What has arrived since it was last asked for.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    ended: Option<LinkError>,
    /// The highest pong.
    pongs: u64,
}

/// What was in the inbox.
#[derive(Debug)]
pub enum Arrived {
    /// At least one event.
    Events(Vec<Event>),
    /// Nothing more will come.
    Ended(LinkError),
}

/// The near side of a running link.
#[derive(Debug)]
pub struct Running {
    /// What arrives.
    pub inbox: Arc<Inbox>,
    outgoing: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    dest: Vec<u8>,
    payload: Vec<u8>,
    /// Gets the number of the ping behind the message; version 1 has none.
    done: oneshot::Sender<Option<u64>>,
}

impl Running {
    /// Runs the link in a task of the current runtime until it ends or this is dropped. A link that was replaced is made again as
    /// `registration` says, if nobody else is there.
    pub fn start(mut link: Link, registration: Registration, mut claim: Claim) -> Self {
        let inbox = Arc::new(Inbox::default());
        let (outgoing, mut orders) = mpsc::channel::<Order>(1);
        let kept = Arc::clone(&inbox);
        tokio::spawn(async move {
            let error = loop {
                tokio::select! {
                    order = orders.recv() => {
                        let Some(order) = order else { return };
                        // When it fails, reading tells why, behind what has arrived and is still to be shown.
                        if link.send(&order.dest, &order.payload).await.is_err() {
                            continue;
                        }
                        let ping = match link.mode() {
                            Mode::Session => link.ping().await.ok(),
                            _ => None,
                        };
                        let _ = order.done.send(ping);
                    }
                    event = kept.room_for(&mut link) => match event {
                        Ok(event) => kept.put(event),
                        Err(error) => match registration.reopen(&mut claim, error).await {
                            Ok(again) => {
                                link = again;
                                kept.renew();
                            }
                            Err(error) => break error,
                        },
                    }
                }
            };
            kept.end(error);
        });
        Self { inbox, outgoing }
    }

    /// Sends a message, and in a session a ping, whose number it gives. `Err` when the link has ended.
    ///
    /// # Errors
    /// The link has ended; the inbox says why.
    pub async fn send(&self, dest: &[u8], payload: &[u8]) -> Result<Option<u64>, LinkError> {
        let (done, sent) = oneshot::channel();
        let order = Order { dest: dest.to_vec(), payload: payload.to_vec(), done };
        self.outgoing.send(order).await.map_err(|_| LinkError::Ended)?;
        sent.await.map_err(|_| LinkError::Ended)
    }
}

impl Inbox {
    /// Takes everything that has arrived, or waits for something.
    pub async fn take(&self) -> Arrived {
        loop {
            let changed = self.changed.notified();
            if let Some(arrived) = self.take_now() {
                return arrived;
            }
            changed.await;
        }
    }

    /// Takes everything that has arrived, if anything has.
    pub fn take_now(&self) -> Option<Arrived> {
        let mut state = self.lock();
        if state.events.is_empty() {
            return state.ended.take().map(|error| {
                state.ended = Some(LinkError::Ended);
                Arrived::Ended(error)
            });
        }
        state.bytes = 0;
        let events = state.events.drain(..).collect();
        drop(state);
        self.taken.notify_one();
        Some(Arrived::Events(events))
    }

    /// Waits until the link has ended.
    pub async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().ended.is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Takes what there is, but only when the link has ended.
    pub fn take_if_ended(&self) -> Option<Arrived> {
        if self.lock().ended.is_some() { self.take_now() } else { None }
    }

    /// Waits for a pong with this number or a later one, or the link's end.
    pub async fn pong(&self, number: u64) {
        loop {
            let changed = self.changed.notified();
            if self.lock().has_answer(number) {
                return;
            }
            changed.await;
        }
    }

    /// Takes the relay's own words out of the messages they came among.
    pub fn take_notices(&self) -> Vec<Event> {
        let mut state = self.lock();
        let (notices, rest): (VecDeque<_>, VecDeque<_>) =
            state.events.drain(..).partition(|event| matches!(event, Event::Control(_)));
        state.events = rest;
        notices.into()
    }

    async fn room_for(&self, link: &mut Link) -> Result<Event, LinkError> {
        while self.lock().bytes >= KEPT_BYTES_MAX {
            tokio::select! {
                () = self.taken.notified() => {}
                _ = link.keep() => {}
            }
        }
        link.next().await
    }

    fn put(&self, event: Event) {
        let mut state = self.lock();
        match event {
            // Raw bytes have no boundaries: what has arrived is one.
            Event::Bytes(bytes) => {
                state.bytes += bytes.len();
                match state.events.back_mut() {
                    Some(Event::Bytes(earlier)) => earlier.extend_from_slice(&bytes),
                    _ => state.events.push_back(Event::Bytes(bytes)),
                }
            }
            Event::Control(FromRelay::Pong(number)) => state.pongs = state.pongs.max(number),
            event => {
                // Even an empty message takes room.
                state.bytes += 64 + if let Event::Message(frame) = &event { frame.payload.len() } else { 0 };
                state.events.push_back(event);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The link is another one, which counts its pings anew.
    fn renew(&self) {
        self.lock().pongs = 0;
    }

    fn end(&self, error: LinkError) {
        self.lock().ended = Some(error);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the pong with this number has come, or none will.
    fn has_answer(&self, number: u64) -> bool {
        self.pongs >= number || self.ended.is_some()
    }
}
