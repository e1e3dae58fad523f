//! Models of the locks and atomics that remain: loom tries every order of events. Run by `cargo xtask test`, or with
//! `RUSTFLAGS="--cfg loom" cargo test --package name-relay-core --test loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{io::IoSlice, sync::Arc as StdArc};

use loom::{
    sync::{
        Arc, Mutex, Notify,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use name_relay_core::{
    budget::{Budget, Loan},
    clock::Tick,
    outbox::{Next, Offered, Outbox, Reserved, Todo, WriteMode},
    wheel::{Timed, Timer, Wheel},
};

#[test]
fn two_queues_never_borrow_more_than_there_is() {
    loom::model(|| {
        let budget = StdArc::new(Budget::new(1, 10));
        let borrow = |budget: StdArc<Budget>, bytes| {
            move || {
                let mut loan = Loan::new(StdArc::clone(&budget));
                let has = loan.set(bytes);
                assert!(budget.borrowed() <= 10);
                has
            }
        };
        let first = thread::spawn(borrow(StdArc::clone(&budget), 6));
        let second = borrow(StdArc::clone(&budget), 7)();
        // They do not fit together, but one of them always does.
        assert!(first.join().unwrap() | second);
        assert_eq!(budget.borrowed(), 0, "what is dropped is given back");
    });
}

/// A client as the relay has it: an outbox behind a lock, a flag for those who look without the lock, and a task to be woken.
struct Client {
    outbox: Mutex<Outbox<u8>>,
    has_work: AtomicBool,
    waker: Notify,
    /// Bytes that its socket accepts.
    window: AtomicUsize,
    received: AtomicUsize,
}

impl Client {
    /// A client whose socket accepts so many bytes at first.
    fn new(window: usize) -> Arc<Self> {
        Arc::new(Self {
            outbox: Mutex::new(Outbox::new(StdArc::new(Budget::new(100, 0)))),
            has_work: AtomicBool::new(false),
            waker: Notify::new(),
            window: AtomicUsize::new(window),
            received: AtomicUsize::new(0),
        })
    }

    fn visit<R>(&self, visit: impl FnOnce(&mut Outbox<u8>) -> R) -> R {
        let mut outbox = self.outbox.lock().unwrap();
        let result = visit(&mut outbox);
        self.has_work.store(outbox.has_work(), Relaxed);
        result
    }

    fn act(&self, todo: &Todo<u8>) {
        // Nobody calls for what waits for company here, so it goes at once.
        if todo.batch {
            let todo = self.visit(Outbox::stop_batching);
            self.act(&todo);
        }
        if todo.wake_owner {
            self.waker.notify();
        }
    }

    /// The socket accepts a part.
    fn write(&self, bytes: usize) -> usize {
        let n = bytes.min(self.window.load(Relaxed));
        self.window.fetch_sub(n, Relaxed);
        self.received.fetch_add(n, Relaxed);
        n
    }

    fn send(&self, sender: u8, bytes: &[u8], mode: WriteMode) {
        let Reserved::Granted(grant) = self.visit(|outbox| outbox.reserve(&sender, bytes.len(), 0, false))
        else {
            panic!("there is space for both");
        };
        let now = Tick::default();
        match self.visit(|outbox| outbox.offer(&sender, grant, &[IoSlice::new(bytes)], mode, false, now)) {
            Offered::Queued(todo) => self.act(&todo),
            Offered::Write(todo) => {
                self.act(&todo);
                let n = self.write(bytes.len());
                let rest = [IoSlice::new(&bytes[n..])];
                let rest = if n == bytes.len() { &[][..] } else { &rest[..] };
                let todo = self.visit(|outbox| outbox.wrote(rest, now));
                self.act(&todo);
            }
        }
    }

    /// The owner's task: it writes what there is, until so many bytes have been received.
    fn own(&self, all: usize) {
        while self.received.load(Relaxed) < all {
            if !self.has_work.load(Relaxed) {
                self.waker.wait();
                continue;
            }
            let Some(mut taken) = self.visit(Outbox::take) else { continue };
            self.window.store(all, Relaxed);
            let n = self.write(taken.len());
            taken.consume(n);
            let (next, todo) = self.visit(|outbox| outbox.put_back(taken, n, Tick::default()));
            assert_eq!(next, Next::Done, "the owner's socket accepts everything");
            self.act(&todo);
        }
    }
}

/// Two senders on threads of their own: the first write accepts a part, so that the owner has the rest to write. Nobody sleeps while
/// something waits, which loom would report as a deadlock.
fn nothing_is_left_behind(mode: WriteMode) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let client = Client::new(1);
        let sender = Arc::clone(&client);
        let other = thread::spawn(move || sender.send(1, b"abc", mode));
        client.send(2, b"defg", WriteMode::Flush);
        other.join().unwrap();
        client.own(7);
        assert_eq!(client.outbox.lock().unwrap().pending(), 0);
    });
}

#[test]
fn what_two_senders_flush_is_written() {
    nothing_is_left_behind(WriteMode::Flush);
}

#[test]
fn what_waits_for_company_is_written() {
    nothing_is_left_behind(WriteMode::Batch);
}

/// The owner runs beside the sender, and sleeps when it sees nothing to do.
#[test]
fn an_owner_that_goes_to_sleep_is_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let client = Client::new(0);
        let owner = Arc::clone(&client);
        let owner = thread::spawn(move || owner.own(3));
        client.send(1, b"abc", WriteMode::Flush);
        owner.join().unwrap();
        assert_eq!(client.received.load(Relaxed), 3);
    });
}

/// A client as its deadlines see it: whether it is watched, behind the lock of its outbox, and its timer.
#[derive(Clone)]
struct Watched(Arc<(Mutex<bool>, Timer)>);

impl Timed for Watched {
    fn timer(&self) -> &Timer {
        &self.0.1
    }
}

/// While the driver looks at a client that is due, a sender makes the client one with a deadline. Whoever comes first, the client has an
/// entry for the next tick in the end.
#[test]
fn a_deadline_that_begins_during_a_look_is_looked_at() {
    loom::model(|| {
        let start = Tick::default();
        let client = Watched(Arc::new((Mutex::new(false), Timer::default())));
        let wheel = Arc::new(Mutex::new(Wheel::new(start)));
        wheel.lock().unwrap().schedule(&client, start.after(1));
        let sender = {
            let (client, wheel) = (client.clone(), Arc::clone(&wheel));
            thread::spawn(move || {
                *client.0.0.lock().unwrap() = true;
                // The sender may read the clock before or after the tick.
                let at = start.after(2);
                if !client.timer().is_set_by(at) {
                    wheel.lock().unwrap().schedule(&client, at);
                }
            })
        };
        let now = start.after(1);
        let mut due = Vec::new();
        wheel.lock().unwrap().advance(now, &mut due);
        assert_eq!(due.len(), 1);
        let is_watched = *client.0.0.lock().unwrap();
        let again = if is_watched { now.after(1) } else { now.after(30) };
        wheel.lock().unwrap().schedule(&client, again);
        sender.join().unwrap();
        assert!(client.timer().is_set_by(now.after(1)));
    });
}

/// A sender finds a client that leaves: the wheel does not keep the client.
#[test]
fn who_leaves_is_not_scheduled_again() {
    loom::model(|| {
        let start = Tick::default();
        let client = Watched(Arc::new((Mutex::new(false), Timer::default())));
        let wheel = Arc::new(Mutex::new(Wheel::new(start)));
        let sender = {
            let (client, wheel) = (client.clone(), Arc::clone(&wheel));
            thread::spawn(move || {
                if !client.timer().is_set_by(start.after(1)) {
                    wheel.lock().unwrap().schedule(&client, start.after(1));
                }
            })
        };
        wheel.lock().unwrap().retire(&client);
        sender.join().unwrap();
        let mut due = Vec::new();
        wheel.lock().unwrap().advance(start.after(2), &mut due);
        assert!(due.is_empty());
    });
}
