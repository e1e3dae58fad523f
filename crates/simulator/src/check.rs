//! What must hold after every step, and at the end.

use std::rc::Rc;

use name_relay_core::{deadlines::Waiting, session::Session, wheel::Timed};

use crate::{
    bounds::{BEYOND, EXTRA, GRACE, IDLE, SHARE, WRITE},
    client::Client,
    op::{Kind, Op},
    peer::Served,
    world::World,
};

impl World {
    /// Lets everything come to its end: all clients that read do so, and time passes until no deadline is left.
    ///
    /// # Errors
    /// What does not hold then.
    pub fn settle(&self) -> Result<(), String> {
        self.is_alone.set(true);
        if self.is_calm {
            self.deliver_everything()?;
        }
        let served: Vec<_> = self.served.borrow().clone();
        for client in &served {
            client.peer.0.client.finished.set(true);
            client.peer.readable();
        }
        // Every wait has a deadline, and deadlines follow each other: who is cut lets others go on.
        let patience = 40 + served.len() as u32;
        for _ in 0..patience * (IDLE + WRITE + GRACE) {
            for kind in [Kind::Send, Kind::Serve, Kind::Flush, Kind::Read, Kind::Serve] {
                let count = self.served.borrow().len();
                for n in 0..count {
                    self.begin(Op { kind, who: n as u16, what: u16::MAX, between: 0 });
                }
                self.check()?;
            }
            self.step(Op { kind: Kind::Tick, who: 0, what: 0, between: 0 })?;
            if self.served.borrow().is_empty() {
                break;
            }
        }
        let left =
            self.served.borrow().first().map(|served| {
                format!("{:?} never comes to an end: {:?}", served.peer, served.session.borrow())
            });
        if let Some(fault) = left {
            return Err(fault);
        }
        if self.budget.borrowed() != 0 {
            return Err(format!("{} bytes of the budget are borrowed by nobody", self.budget.borrowed()));
        }
        Ok(())
    }

    /// Lets every message arrive and counts them.
    fn deliver_everything(&self) -> Result<(), String> {
        let served: Vec<_> = self.served.borrow().clone();
        let is_quiet = |one: &Rc<Served>| {
            let client = &one.peer.0.client;
            client.outgoing.borrow().is_empty()
                && client.arrived.borrow().is_empty()
                && !one.peer.is_paused()
                && one.peer.0.outbox.borrow().pending() == 0
        };
        for _ in 0..2000 {
            if served.iter().all(is_quiet) {
                break;
            }
            // Whoever waits for the budget asks again with the clock.
            served
                .iter()
                .filter(|one| one.peer.0.waiting.get() == Waiting::SpaceTimed)
                .for_each(|one| one.peer.0.is_woken.set(true));
            for kind in [Kind::Send, Kind::Serve, Kind::Flush, Kind::Read, Kind::Serve] {
                for n in 0..served.len() {
                    self.begin(Op { kind, who: n as u16, what: u16::MAX, between: 0 });
                }
                self.check()?;
            }
        }
        let count =
            |of: &dyn Fn(&Client) -> u64| served.iter().map(|one| of(&one.peer.0.client)).sum::<u64>();
        let (sent, arrived) = (count(&|client| client.sent.get()), count(&|client| client.messages.get()));
        let undeliverable = self.undeliverable.get();
        if sent != arrived + undeliverable {
            let stuck: Vec<_> = served
                .iter()
                .filter(|one| one.session.borrow().as_ref().is_none_or(Session::is_paused))
                .map(|one| {
                    format!("{:?}: {:?} {:?}", one.peer, one.session.borrow(), one.peer.0.outbox.borrow())
                })
                .collect();
            return Err(format!(
                "of {sent} messages {arrived} arrived and {undeliverable} were undeliverable; stuck: {stuck:?}"
            ));
        }
        Ok(())
    }

    /// What must hold between any two steps.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(fault) = self.fault.borrow_mut().take() {
            return Err(fault);
        }
        let (mut waiting, mut loans) = (0, 0);
        let served = self.served.borrow();
        for one in served.iter() {
            let outbox = one.peer.0.outbox.borrow();
            let figures = outbox.verify().map_err(|fault| format!("{:?}: {fault}", one.peer))?;
            if figures.granted > 0 {
                return Err(format!("{:?}: {} bytes are granted to nobody", one.peer, figures.granted));
            }
            if figures.pending > (4 * SHARE).max(BEYOND) {
                return Err(format!("{:?}: {} bytes wait", one.peer, figures.pending));
            }
            waiting += figures.pending.min(SHARE);
            loans += figures.loan + one.session.borrow().as_ref().map_or(0, Session::borrowed_bytes);
        }
        let bound = EXTRA + served.len() * BEYOND;
        if loans > bound || self.budget.borrowed() > bound {
            return Err(format!(
                "{loans} bytes are borrowed besides {waiting} that wait within their shares"
            ));
        }
        if loans != self.budget.borrowed() {
            return Err(format!(
                "{} bytes are borrowed, and {loans} of them by somebody",
                self.budget.borrowed()
            ));
        }
        // Whoever has something to write, and could, is going to be served.
        for one in served.iter() {
            let has_work = one.peer.0.outbox.borrow().has_work();
            let could = one.peer.0.client.window.get() > 0;
            if has_work && could && !one.peer.0.is_woken.get() {
                return Err(format!("{:?} has bytes to write and was not woken", one.peer));
            }
        }
        // Every waiting state has a deadline, and every deadline is looked at in time.
        for one in served.iter() {
            let peer = &one.peer.0;
            let is_quiet = !one.peer.is_paused() && !peer.outbox.borrow().is_watched();
            let (soonest, silent) = (self.clock.now().after(1), peer.heard.get().after(IDLE));
            let by = if is_quiet && silent.is_after(soonest) { silent } else { soonest };
            if !one.peer.timer().is_set_by(by) {
                return Err(format!("{:?} has a deadline at which nobody looks", one.peer));
            }
        }
        Ok(())
    }
}
