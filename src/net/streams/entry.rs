//! One stream of a worker: two connections, and what is known of their readiness.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, Waker},
    time::Duration,
};

use rustix::event::epoll::EventFlags;
use socket2::SockRef;

use super::{Doubt, Ended};
use crate::net::{
    join::{
        Broken, Edge, Joined, carry,
        end::{End, is_transient},
        way::Way,
    },
    silence::{Silence, unanswered},
    unpaced::unpace,
};

/// A connection, ready until it was seen not to be. Events of the system come once for each change (`EPOLLET`).
#[derive(Debug)]
pub(super) struct Side {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The other end has said its last word: reading goes on to the end without another event.
    hung_up: bool,
    /// The system says that the connection has broken.
    failed: bool,
    /// Urgent data came (RFC 6093): a read stops short of it though more may be behind it, and no pipe takes it.
    urgent: bool,
    /// The system tells when there is room to write. It does so from the first time on that there was none.
    tells_room: bool,
}

/// Both connections of a stream, by number.
pub(super) const SIDES: [usize; 2] = [0, 1];

/// What came of a stream's turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// It goes on with the next event.
    Waits,
    /// It is to have another turn soon.
    HasMore,
    /// It has ended.
    Over(Joined),
}

/// A stream.
pub(super) struct Entry {
    sides: [Side; 2],
    there: Way,
    back: Way,
    ended: Ended,
    /// The worker has it among those that are to have another turn.
    pub(super) is_ready: bool,
    /// Exists until the second connection has sent something.
    doubt: Option<Doubt>,
    /// Exists while an answer may be awaited.
    silences: Option<Box<[Silence; 2]>>,
}

impl Entry {
    pub(super) fn new(first: TcpStream, second: TcpStream, received: Vec<u8>, ended: Ended) -> Self {
        Self {
            sides: [Side::new(first), Side::new(second)],
            there: Way::new(received),
            back: Way::new(Vec::new()),
            ended,
            is_ready: false,
            doubt: None,
            silences: None,
        }
    }

    /// Breaks off when `doubt` says so before the second connection has sent anything.
    pub(super) fn unless(mut self, doubt: Option<Doubt>) -> Self {
        self.doubt = doubt;
        self
    }

    /// Notes what the system says of one connection.
    pub(super) fn note(&mut self, side: usize, flags: EventFlags) {
        let side = &mut self.sides[side];
        let to_read =
            EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        side.readable |= flags.intersects(to_read);
        side.urgent |= flags.contains(EventFlags::PRI);
        side.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
        side.hung_up |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        side.failed |= flags.contains(EventFlags::ERR);
    }

    /// Carries what can be carried now.
    pub(super) fn turn(&mut self) -> Turn {
        let mut cx = Context::from_waker(Waker::noop());
        let [first, second] = &mut self.sides;
        // One with nothing more to say is not read any more, so only the event shows that it has broken since.
        let rest = match (first.failed, second.failed) {
            (true, _) => Some((Edge::First, self.there.carry_rest(&mut cx, first, second))),
            (false, true) => Some((Edge::Second, self.back.carry_rest(&mut cx, second, first))),
            (false, false) => None,
        };
        if let Some((edge, rest)) = rest {
            let error = rest.err().or_else(|| self.sides.iter().find_map(Side::failure));
            let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
            return Turn::Over(self.break_off(Broken { at: Some(edge), error }));
        }
        match carry(&mut cx, [first, second], [&mut self.there, &mut self.back]) {
            Poll::Ready(Err(broken)) => Turn::Over(self.break_off(broken)),
            Poll::Ready(Ok(())) => {
                self.sides.iter().for_each(Side::settle);
                Turn::Over(self.joined(None))
            }
            Poll::Pending if self.there.take_has_more() | self.back.take_has_more() => Turn::HasMore,
            Poll::Pending => Turn::Waits,
        }
    }

    /// Bytes carried so far.
    pub(super) fn carried(&self) -> u64 {
        self.there.carried() + self.back.carried()
    }

    /// The connection, for the system.
    pub(super) fn fd(&self, side: usize) -> BorrowedFd<'_> {
        self.sides[side].stream.as_fd()
    }

    /// What the system is to tell of a connection.
    pub(super) fn interest(&self, side: usize) -> EventFlags {
        let side = &self.sides[side];
        let always = EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        if side.tells_room { always | EventFlags::OUT } else { always }
    }

    /// Whether the system has to be told that room to write is waited for from now on. It is asked after each turn.
    pub(super) fn wants_room(&mut self, side: usize) -> bool {
        let side = &mut self.sides[side];
        let is_new = !side.writable && !side.tells_room;
        side.tells_room |= is_new;
        is_new
    }

    /// Whether it has to be looked at now and then from here on, since an answer may be awaited; `limit` as below.
    pub(super) fn begins_to_await(&mut self, limit: Option<Duration>) -> bool {
        let has_written = self.there.take_has_written() | self.back.take_has_written();
        if self.back.has_begun() {
            self.doubt = None;
        }
        let awaits = (has_written && limit.is_some()) || self.doubt.is_some();
        let begins = awaits && self.silences.is_none();
        if begins {
            self.silences = Some(Box::new([Silence::new(), Silence::new()]));
        }
        begins
    }

    /// Whether it was found to be one of those.
    pub(super) fn is_awaiting(&self) -> bool {
        self.silences.is_some()
    }

    /// Whether an answer is still awaited.
    ///
    /// # Errors
    /// None has come for as long as `limit`, or there is doubt that any will.
    pub(super) fn awaits_answer(&mut self, limit: Option<Duration>) -> Result<bool, Broken> {
        if let Some(error) = self.doubt.as_ref().and_then(|doubt| doubt()) {
            return Err(Broken { at: Some(Edge::Second), error });
        }
        let Some(silences) = &mut self.silences else { return Ok(false) };
        let mut awaits = self.doubt.is_some();
        if let Some(limit) = limit {
            let lasts = SIDES.map(|side| silences[side].lasts(&self.sides[side].stream));
            for (edge, silence) in [Edge::First, Edge::Second].into_iter().zip(lasts) {
                if silence.is_some_and(|silence| silence >= limit) {
                    return Err(Broken { at: Some(edge), error: unanswered() });
                }
            }
            awaits |= lasts.iter().any(Option::is_some);
        }
        if !awaits {
            self.silences = None;
        }
        Ok(awaits)
    }

    /// Resets both connections.
    pub(super) fn break_off(&self, broken: Broken) -> Joined {
        self.sides.iter().for_each(Side::reset);
        self.joined(Some(broken))
    }

    /// Tells that it has ended. Both connections are closed by then.
    pub(super) fn end(self, joined: Joined) {
        let Self { sides, ended, .. } = self;
        drop(sides);
        ended(joined);
    }

    fn joined(&self, broken: Option<Broken>) -> Joined {
        Joined { there: self.there.carried(), back: self.back.carried(), broken }
    }
}

impl Side {
    fn new(stream: TcpStream) -> Self {
        // Fails for no connection; without it a byte of urgent data would be missing.
        let _ = SockRef::from(&stream).set_out_of_band_inline(true);
        Self {
            stream,
            readable: true,
            writable: true,
            hung_up: false,
            failed: false,
            urgent: false,
            tells_room: false,
        }
    }

    /// What has broken the connection, if the system says so.
    fn failure(&self) -> Option<io::Error> {
        self.stream.take_error().unwrap_or_else(Some)
    }

    /// Has the connection end with a reset when it is closed.
    fn reset(&self) {
        // Fails only for a connection that is gone already.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Has what was written be delivered after the connection is closed.
    fn settle(&self) {
        let _ = SockRef::from(&self.stream).set_linger(None);
    }

    fn take(&mut self, mut attempt: impl FnMut(&mut Self) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        while self.readable {
            match attempt(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if is_transient(&error) => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Pending
    }

    fn put(&mut self, mut attempt: impl FnMut(&mut Self) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        while self.writable {
            match attempt(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if is_transient(&error) => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Pending
    }
}

impl End for Side {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.take(|side| {
            let n = side.stream.read(buffer)?;
            // Less than there was room for: that was all, unless the end is behind it.
            side.readable = n == 0 || n == room || side.hung_up || side.urgent;
            Ok(n)
        })
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(|side| {
            let n = side.stream.write(bytes)?;
            side.writable = n == bytes.len();
            Ok(n)
        })
    }

    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.readable { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn may_splice(&self) -> bool {
        !self.urgent
    }

    fn expect_bulk(&self) {
        unpace(&SockRef::from(&self.stream));
    }

    fn poll_take(
        &mut self,
        _: &mut Context<'_>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.take(|side| attempt(side.stream.as_fd()))
    }

    fn poll_put(
        &mut self,
        _: &mut Context<'_>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.put(|side| attempt(side.stream.as_fd()))
    }

    fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener},
        os::fd::OwnedFd,
        time::Instant,
    };

    use rustix::{
        buffer::spare_capacity,
        event::{
            Timespec,
            epoll::{self, CreateFlags, EventData},
        },
        io::Errno,
    };

    use super::*;
    use crate::net::join::pipe::failing;

    /// Two people with what each holds in hand, and the stream between them, after a first turn that found nothing.
    fn entry() -> (TcpStream, TcpStream, Entry) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pair = || {
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let far = listener.accept().unwrap().0;
            far.set_nonblocking(true).unwrap();
            (near, far)
        };
        let ((left, first), (right, second)) = (pair(), pair());
        let mut entry = Entry::new(first, second, Vec::new(), Box::new(drop));
        assert!(matches!(entry.turn(), Turn::Waits));
        (left, right, entry)
    }

    /// Nothing here takes this long unless it is broken.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// What the system tells of one connection of a stream, once for each change, as a worker hears it. What is sent on a busy machine
    /// arrives when the system gets to it, also on the same machine.
    struct Told {
        epoll: OwnedFd,
        side: usize,
    }

    impl Told {
        fn of(entry: &Entry, side: usize) -> Self {
            let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
            epoll::add(&epoll, entry.fd(side), EventData::new_u64(0), entry.interest(side)).unwrap();
            Self { epoll, side }
        }

        /// Notes what is told within the time.
        fn note(&self, entry: &mut Entry, within: Duration) -> EventFlags {
            let mut events = Vec::with_capacity(1);
            let within = Timespec::try_from(within).unwrap();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&within)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
            let flags = events.first().map_or(EventFlags::empty(), |event| event.flags);
            entry.note(self.side, flags);
            flags
        }

        /// Notes what is told until all of `wanted` was.
        fn until(&self, entry: &mut Entry, wanted: EventFlags) {
            let (started, mut told) = (Instant::now(), EventFlags::empty());
            while !told.contains(wanted) {
                told |= self.note(entry, Duration::from_secs(1));
                assert!(started.elapsed() < DEADLINE, "{told:?} in place of {wanted:?}");
            }
        }
    }

    /// Waits until the system has told all of `wanted` about the connection, and notes it.
    fn hear(entry: &mut Entry, side: usize, wanted: EventFlags) {
        Told::of(entry, side).until(entry, wanted);
    }

    fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, io::Result<usize>) {
        let mut bytes = Vec::new();
        let result = stream.read_to_end(&mut bytes);
        (bytes, result)
    }

    #[test]
    fn what_came_before_a_reset_goes_on_before_the_reset() {
        for side in SIDES {
            let (left, right, mut entry) = entry();
            let (mut speaker, listener) = if side == 0 { (left, right) } else { (right, left) };
            speaker.write_all(b"the answer").unwrap();
            SockRef::from(&speaker).set_linger(Some(Duration::ZERO)).unwrap();
            drop(speaker);
            hear(&mut entry, side, EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            let Turn::Over(joined) = entry.turn() else { panic!("the stream goes on") };
            assert_eq!(joined.there + joined.back, 10);
            let at = joined.broken.as_ref().and_then(|broken| broken.at);
            assert_eq!(at, Some(if side == 0 { Edge::First } else { Edge::Second }));
            entry.end(joined);
            let (bytes, result) = read_to_end(&listener);
            assert_eq!((bytes.as_slice(), result.is_err()), (&b"the answer"[..], true), "side {side}");
        }
    }

    #[test]
    fn an_end_that_was_passed_on_awaits_an_answer() {
        let (left, right, mut entry) = entry();
        drop(left);
        hear(&mut entry, 0, EventFlags::IN | EventFlags::RDHUP);
        assert!(matches!(entry.turn(), Turn::Waits));
        assert!(entry.begins_to_await(Some(Duration::from_secs(1))));
        drop(right);
    }

    #[test]
    fn a_connection_that_stays_here_loses_its_pacing_when_it_begins_to_carry_bulk() {
        let (left, _right, mut entry) = entry();
        let second = entry.sides[1].stream.try_clone().unwrap();
        let second = SockRef::from(&second);
        if second.set_tcp_congestion(b"bbr").is_err() {
            eprintln!("this system has no BBR");
            return;
        }
        let mut say = |bytes: &[u8]| {
            (&left).write_all(bytes).unwrap();
            hear(&mut entry, 0, EventFlags::IN);
            entry.turn();
        };
        say(b"small talk");
        assert!(second.tcp_congestion().unwrap().starts_with(b"bbr"));
        for _ in 0..10 {
            say(&[b'x'; 64 << 10]);
        }
        assert!(second.tcp_congestion().unwrap().starts_with(b"reno"));
    }

    #[test]
    fn urgent_data_in_the_midst_of_bulk_is_carried_like_all_other() {
        let (left, right, mut entry) = entry();
        right.set_nonblocking(true).unwrap();
        // Until there is no room behind the stream, which then holds a pipe with something in it.
        let mut sent = 0;
        while entry.sides[1].writable {
            (&left).write_all(&[b'x'; 64 << 10]).unwrap();
            sent += 64 << 10;
            entry.note(0, EventFlags::IN);
            entry.turn();
        }
        assert!(entry.there.holds_pipe());
        let told = Told::of(&entry, 0);
        assert_eq!(SockRef::from(&left).send_out_of_band(b"!").unwrap(), 1);
        (&left).write_all(b"this is what the shouting is about").unwrap();
        // The last that is said of the first connection, unless something is late.
        told.until(&mut entry, EventFlags::IN | EventFlags::PRI);
        let mut received = Vec::new();
        let started = Instant::now();
        while received.len() < sent + 35 {
            assert!(started.elapsed() < DEADLINE, "{} of {}", received.len(), sent + 35);
            let mut buffer = [0; 64 << 10];
            let n = (&right).read(&mut buffer).unwrap_or(0);
            received.extend_from_slice(&buffer[..n]);
            entry.note(1, EventFlags::OUT);
            told.note(&mut entry, Duration::ZERO);
            entry.turn();
        }
        assert!(received.ends_with(b"x!this is what the shouting is about"));
    }

    #[test]
    fn urgent_data_is_carried_like_all_other() {
        let (left, right, mut entry) = entry();
        let urgent = |bytes: &[u8]| {
            assert_eq!(SockRef::from(&left).send_out_of_band(bytes).unwrap(), bytes.len());
        };
        (&left).write_all(b"abc").unwrap();
        urgent(b"d");
        (&left).write_all(&vec![b'e'; 100_000]).unwrap();
        left.shutdown(Shutdown::Write).unwrap();
        hear(&mut entry, 0, EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP);
        while let Turn::HasMore = entry.turn() {}
        let (bytes, result) = read_to_end(&right);
        result.unwrap();
        assert_eq!((&bytes[..5], bytes.len()), (&b"abcde"[..], 100_004));
    }

    /// What goes through a stream of several megabytes, with a reader that stops in between so that something stays in the pipe.
    fn carry_bulk() {
        let (left, right, mut entry) = entry();
        let bytes: Vec<u8> =
            (0..6_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        right.set_nonblocking(true).unwrap();
        let (mut sent, mut received) = (0, Vec::new());
        left.set_nonblocking(true).unwrap();
        let started = Instant::now();
        while received.len() < bytes.len() {
            assert!(started.elapsed() < DEADLINE, "{} of {}", received.len(), bytes.len());
            while let Ok(n @ 1..) = (&left).write(&bytes[sent..]) {
                sent += n;
            }
            entry.note(0, EventFlags::IN);
            match entry.turn() {
                Turn::Over(joined) => panic!("{joined:?} after {} bytes", received.len()),
                Turn::HasMore => continue,
                Turn::Waits => {}
            }
            let mut buffer = [0; 256 << 10];
            while let Ok(n @ 1..) = (&right).read(&mut buffer) {
                received.extend_from_slice(&buffer[..n]);
            }
            entry.note(1, EventFlags::OUT);
        }
        assert!(received == bytes);
        // The end is passed on as ever.
        left.shutdown(Shutdown::Write).unwrap();
        right.shutdown(Shutdown::Write).unwrap();
        for side in SIDES {
            hear(&mut entry, side, EventFlags::IN | EventFlags::RDHUP);
        }
        let Turn::Over(joined) = entry.turn() else { panic!("the stream goes on") };
        assert!(joined.broken.is_none(), "{joined:?}");
        assert_eq!(joined.there, bytes.len() as u64);
    }

    #[test]
    fn a_system_that_does_not_splice_or_no_longer_does_has_bulk_copied() {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EINVAL, libc::ENOMEM] {
            for out in [false, true] {
                for nth in [0, 1, 2, 5] {
                    failing::from(out, nth, errno);
                    carry_bulk();
                    failing::never();
                }
            }
        }
        carry_bulk();
    }

    #[test]
    fn a_stream_in_doubt_is_looked_at_until_its_second_connection_has_sent_something() {
        let doubtful = || io::Error::from(io::ErrorKind::TimedOut);
        for is_in_doubt in [false, true] {
            let (left, right, entry) = entry();
            let mut entry = entry.unless(Some(Box::new(move || is_in_doubt.then(doubtful))));
            assert!(entry.begins_to_await(None));
            assert_eq!(entry.awaits_answer(None).is_err(), is_in_doubt);
            (&right).write_all(b"!").unwrap();
            hear(&mut entry, 1, EventFlags::IN);
            assert!(matches!(entry.turn(), Turn::Waits));
            assert!(!entry.begins_to_await(None) && !entry.awaits_answer(None).unwrap());
            drop(left);
        }
    }
}
