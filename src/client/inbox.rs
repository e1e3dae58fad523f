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
use crate::{task::task, wire::FromRelay};

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
    /// The highest pong of the link.
    pongs: u64,
    /// Which link it is: the first, or one that was made again.
    link: u64,
}

/// A message that was sent in a session, and the ping behind it.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    ping: u64,
    link: u64,
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
    /// Gets the ping behind the message; version 1 has none.
    done: oneshot::Sender<Option<Sent>>,
}

impl Running {
    /// Runs the link in a task of the current runtime until it ends or this is dropped. A link that was replaced is made again as
    /// `registration` says, if nobody else is there.
    pub fn start(mut link: Link, registration: Registration, mut claim: Claim) -> Self {
        let inbox = Arc::new(Inbox::default());
        let (outgoing, mut orders) = mpsc::channel::<Order>(1);
        let kept = Arc::clone(&inbox);
        tokio::spawn(task(async move {
            let error = loop {
                tokio::select! {
                    order = orders.recv() => {
                        let Some(order) = order else { return };
                        // When it fails, reading tells why, behind what has arrived and is still to be shown.
                        if link.send(&order.dest, &order.payload).await.is_err() {
                            continue;
                        }
                        let ping = match link.mode() {
                            Mode::Session => {
                                let number = kept.lock().link;
                                link.ping().await.ok().map(|ping| Sent { ping, link: number })
                            }
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
        }));
        Self { inbox, outgoing }
    }

    /// Sends a message, and in a session a ping, whose answer can be waited for.
    ///
    /// # Errors
    /// The link has ended; the inbox says why, unless the link was made again.
    pub async fn send(&self, dest: &[u8], payload: &[u8]) -> Result<Option<Sent>, LinkError> {
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

    /// Waits until everything up to the message was routed, or the link's end; false if the link was made again meanwhile, so that nothing
    /// is known of the message.
    pub async fn answered(&self, sent: Sent) -> bool {
        loop {
            let changed = self.changed.notified();
            if let Some(is_known) = self.lock().is_answered(sent) {
                return is_known;
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
                state.bytes += event.kept_bytes();
                state.events.push_back(event);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The link is another one, which counts its pings anew.
    fn renew(&self) {
        let mut state = self.lock();
        state.pongs = 0;
        state.link += 1;
        drop(state);
        self.changed.notify_waiters();
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
    /// Whether the pong behind the message has come, or none will; false when nobody will ever know.
    fn is_answered(&self, sent: Sent) -> Option<bool> {
        if sent.link != self.link {
            return Some(false);
        }
        (self.pongs >= sent.ping || self.ended.is_some()).then_some(true)
    }
}
