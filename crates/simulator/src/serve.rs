//! What the simulated relay does: it serves a client, looks at deadlines, and drives the core.

use std::{
    io::{self, IoSlice},
    rc::Rc,
    sync::Arc,
};

use name_relay_core::{
    batch::SLICES_MAX,
    budget::Budget,
    clock::Tick,
    close::CloseReason,
    deadlines::Waiting,
    driver::{Driver, RouteLimits},
    outbox::{Next as Left, Outbox},
    session::{Next, Session, Worker},
    wheel::Timed,
};

use crate::{
    bounds::{BUFFER_BYTES, DEADLINES, DEPTH_MAX, LIMITS, MESSAGE_BYTES_MAX, STREAM_BYTES_MIN},
    client::WINDOW,
    op::{Kind, Op},
    peer::{PeerRef, Served},
    world::World,
};

impl World {
    /// What the relay's task of a client does when it runs.
    pub(crate) fn serve(&self, served: &Rc<Served>, what: u16) {
        if !served.peer.0.is_woken.get() {
            return;
        }
        // Another worker serves it already.
        let Some(mut session) = served.session.borrow_mut().take() else { return };
        let depth = self.depth.get();
        let Some(mut worker) = self.workers[depth].borrow_mut().take() else {
            *served.session.borrow_mut() = Some(session);
            return;
        };
        let ended = self.poll(&served.peer, &mut session, &mut worker, what);
        *self.workers[depth].borrow_mut() = Some(worker);
        let Some(reason) = ended else {
            *served.session.borrow_mut() = Some(session);
            return;
        };
        self.left.borrow_mut().insert(served.peer.0.client.id);
        session.close(self, reason);
        self.names.borrow_mut().remove(&served.peer);
        self.wheel.borrow_mut().retire(&served.peer);
        let todo = self.outbox(&served.peer, Outbox::turn_away);
        self.act(&served.peer, todo);
        let todo = self.outbox(&served.peer, Outbox::close);
        self.act(&served.peer, todo);
        self.served.borrow_mut().retain(|other| !Rc::ptr_eq(other, served));
    }

    fn poll(
        &self,
        peer: &PeerRef,
        session: &mut Session<PeerRef>,
        worker: &mut Worker<PeerRef>,
        what: u16,
    ) -> Option<CloseReason> {
        peer.0.is_woken.set(false);
        if let Some(reason) = peer.0.close_reason.get() {
            return Some(reason);
        }
        match self.write_queue(peer) {
            Ok(written) => {
                let is_empty = !self.outbox(peer, |outbox| outbox.has_work());
                session.wrote(written, is_empty);
            }
            Err(_) => return Some(CloseReason::Disconnected),
        }
        match session.next() {
            Next::Close(reason) => return Some(reason),
            Next::Drain => {}
            Next::Wait | Next::WaitTimed => session.retry(self, worker, &LIMITS),
            Next::Read => {
                let client = &peer.0.client;
                if client.broken.get() {
                    return Some(CloseReason::Disconnected);
                }
                let mut buffer = vec![0; BUFFER_BYTES];
                let mut range = session.read_into(worker, &LIMITS, &mut buffer);
                range.end = range.end.min(range.start + what as usize % 300 + 1);
                let n = {
                    let mut arrived = client.arrived.borrow_mut();
                    let n = range.len().min(arrived.len());
                    for (to, from) in buffer[range].iter_mut().zip(arrived.drain(..n)) {
                        *to = from;
                    }
                    n
                };
                let is_over = client.finished.get() && client.outgoing.borrow().is_empty();
                if n > 0 || is_over {
                    peer.0.heard.set(self.clock.now());
                    session.received(self, worker, &LIMITS, &buffer, n);
                }
                worker.end_read();
            }
        }
        if peer.0.outbox.borrow().has_work() && peer.0.client.window.get() > 0 {
            // The socket accepts bytes again since the last attempt.
            peer.0.is_woken.set(true);
        }
        let waiting = Waiting::from(session.next());
        if waiting != peer.0.waiting.replace(waiting) {
            peer.0.heard.set(self.clock.now());
            self.look_soon(peer);
        }
        match session.next() {
            Next::Close(reason) => Some(reason),
            Next::Read => {
                // There is more to read.
                let client = &peer.0.client;
                if client.finished.get() || client.broken.get() || !client.arrived.borrow().is_empty() {
                    peer.0.is_woken.set(true);
                }
                None
            }
            Next::Drain => {
                // The task goes round once more, and finds out whether there is anything to write.
                if !peer.0.outbox.borrow().has_work() {
                    peer.0.is_woken.set(true);
                }
                None
            }
            _ => None,
        }
    }

    fn write_queue(&self, peer: &PeerRef) -> io::Result<usize> {
        let mut all = 0;
        loop {
            let Some(mut taken) = self.outbox(peer, Outbox::take) else { return Ok(all) };
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = taken.slices(&mut slices);
            let result = self.write(peer, &slices[..used]);
            let n = *result.as_ref().unwrap_or(&0);
            taken.consume(n);
            all += n;
            let (next, todo) = self.outbox(peer, |outbox| outbox.put_back(taken, n, self.now()));
            self.act(peer, todo);
            match result {
                Ok(_) if next == Left::Done => return Ok(all),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn flush(&self) {
        let batching = std::mem::take(&mut *self.batching.borrow_mut());
        for peer in batching {
            let todo = self.outbox(&peer, Outbox::stop_batching);
            self.act(&peer, todo);
        }
    }

    /// The clock ticks: whoever is due is looked at.
    pub(crate) fn tick(&self) {
        self.clock.advance();
        let now = self.clock.now();
        let mut due = Vec::new();
        self.wheel.borrow_mut().advance(now, &mut due);
        for peer in due {
            let (heard, waiting) = (peer.0.heard.get(), peer.0.waiting.get());
            let look = DEADLINES.look(heard, waiting, &mut peer.0.outbox.borrow_mut(), now);
            if let Some(reason) = look.close {
                self.end(&peer, reason);
            }
            if let Some((holder, reason)) = look.holder {
                self.end(&holder, reason);
            }
            if look.retry {
                peer.0.is_woken.set(true);
            }
            // A client that is not read from is asked whether its connection is broken.
            if peer.is_paused() && peer.0.client.broken.get() {
                self.end(&peer, CloseReason::Disconnected);
            }
            self.wheel.borrow_mut().schedule(&peer, look.again);
        }
    }

    /// Has the client looked at with the next tick.
    pub(crate) fn look_soon(&self, peer: &PeerRef) {
        let at = self.clock.now().after(1);
        if !peer.timer().is_set_by(at) {
            self.wheel.borrow_mut().schedule(peer, at);
        }
    }

    pub(crate) fn end(&self, peer: &PeerRef, reason: CloseReason) {
        if peer.0.close_reason.get().is_none() {
            peer.0.close_reason.set(Some(reason));
        }
        peer.0.is_woken.set(true);
    }

    /// Another worker may do something now.
    fn between(&self) {
        let depth = self.depth.get();
        if self.is_alone.get() || depth >= DEPTH_MAX {
            return;
        }
        let (happens, op) = {
            let mut random = self.random.borrow_mut();
            let kind = [Kind::Serve, Kind::Serve, Kind::Send, Kind::Read, Kind::Flush][random.usize(0..5)];
            let op = Op { kind, who: random.u16(..), what: random.u16(..), between: 0 };
            (random.u8(0..16) == 0, op)
        };
        if happens {
            self.depth.set(depth + 1);
            self.take(op);
            self.depth.set(depth);
        }
    }

    pub(crate) fn fail(&self, fault: String) {
        self.fault.borrow_mut().get_or_insert(fault);
    }
}

impl Driver for World {
    type Peer = PeerRef;

    fn limits(&self) -> RouteLimits {
        RouteLimits { message_bytes_max: MESSAGE_BYTES_MAX, stream_bytes_min: STREAM_BYTES_MIN }
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    fn find(&self, name: &[u8]) -> Option<PeerRef> {
        self.names.borrow().get(name).cloned()
    }

    fn outbox<R>(&self, peer: &PeerRef, visit: impl FnOnce(&mut Outbox<PeerRef>) -> R) -> R {
        self.between();
        let mut outbox = peer.0.outbox.borrow_mut();
        let result = visit(&mut outbox);
        if outbox.is_watched() {
            self.look_soon(peer);
        }
        result
    }

    fn write(&self, peer: &PeerRef, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.between();
        let client = &peer.0.client;
        if client.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let most = client.window.get().min(self.random.borrow_mut().usize(1..=2 * WINDOW));
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = all.min(most);
        client.window.set(client.window.get() - n);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(n).collect();
        let received = client.receive(&bytes, |id| self.left.borrow().contains(&id));
        if let Err(fault) = received {
            self.fail(format!("{peer:?} receives {fault}"));
        }
        self.between();
        Ok(n)
    }

    fn write_failed(&self, peer: &PeerRef) {
        self.end(peer, CloseReason::Disconnected);
    }

    fn wake(&self, peer: &PeerRef) {
        peer.0.is_woken.set(true);
    }

    fn batch(&self, peer: &PeerRef) {
        self.batching.borrow_mut().push(peer.clone());
    }

    fn undeliverable(&self, _: &PeerRef, _: &[u8], count: u64) {
        self.undeliverable.set(self.undeliverable.get() + count);
    }
}
