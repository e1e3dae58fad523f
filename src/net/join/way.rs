//! One direction of a join.

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

use super::{end::End, pipe::Pipe};

/// What is read at once when copying. One buffer serves all streams of a thread.
const COPY_BYTES: usize = 64 << 10;

/// A read of this size tells of bulk; so many in a row make it worth a pipe.
const BULK_READ_BYTES: usize = 32 << 10;
const BULK_READS: i8 = 2;

/// After a pipe was refused, so many large reads go by before one is asked for again.
const REFUSED_READS: i8 = 100;

/// Below this many bytes at once a pipe costs more than it saves.
const PIPE_BYTES_MIN: usize = 16 << 10;

/// Reads of one direction before the other, and other streams, have their turn.
const READS_PER_TURN: u32 = 16;

/// And bytes: a turn is to be over before a quiet conversation would notice.
const BYTES_PER_TURN: u64 = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One direction: from where it is read to where it is written.
#[derive(Debug)]
pub(in crate::net) struct Way {
    /// Nothing while the stream rests, and then a pointer is all the memory it takes: thousands of streams may rest.
    held: Option<Box<Held>>,
    carried: u64,
    /// Large reads in a row, up to [`BULK_READS`]; below zero, those to go by before they count.
    large_reads: i8,
    /// It has carried bulk.
    was_bulk: bool,
    /// Nothing more will be read.
    ended: bool,
    /// The end was passed on.
    done: bool,
    /// Something was written since that was asked last.
    has_written: bool,
    /// Its turn is over although it could go on.
    has_more: bool,
    /// Writing has failed.
    failed_to_write: bool,
}

/// What a direction has in hand.
#[derive(Debug)]
enum Held {
    /// Bytes that were read and not yet written, from `start` on.
    Bytes { bytes: Vec<u8>, start: usize },
    /// A pipe for bytes in flight; kept while there are any.
    Pipe(Pipe),
}

impl Way {
    /// A direction that begins with bytes received earlier.
    pub(in crate::net) fn new(received: Vec<u8>) -> Self {
        let held = (!received.is_empty()).then(|| Box::new(Held::Bytes { bytes: received, start: 0 }));
        Self {
            held,
            carried: 0,
            large_reads: 0,
            was_bulk: false,
            ended: false,
            done: false,
            has_written: false,
            has_more: false,
            failed_to_write: false,
        }
    }

    /// Bytes written so far.
    pub(in crate::net) fn carried(&self) -> u64 {
        self.carried
    }

    /// Whether anything has come, if only the end.
    pub(in crate::net) fn has_begun(&self) -> bool {
        self.carried > 0 || self.held.is_some() || self.ended
    }

    /// Whether the end was passed on.
    pub(in crate::net) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether it was writing that has failed, if anything has.
    pub(in crate::net) fn failed_to_write(&self) -> bool {
        self.failed_to_write
    }

    /// Whether something was written since this was asked last.
    pub(in crate::net) fn take_has_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }

    /// Whether there is a pipe in hand.
    #[cfg(all(test, target_os = "linux"))]
    pub(in crate::net) fn holds_pipe(&self) -> bool {
        matches!(self.held.as_deref(), Some(Held::Pipe(_)))
    }

    /// Whether the last turn was over although more could be carried: it is to have another one soon.
    pub(in crate::net) fn take_has_more(&mut self) -> bool {
        std::mem::take(&mut self.has_more)
    }

    /// Carries what can be carried now. Ready when the end was passed on, or with what broke either connection.
    pub(in crate::net) fn poll<E: End>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut E,
        to: &mut E,
    ) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        let before = self.carried;
        for _ in 0..READS_PER_TURN {
            ready!(self.write(cx, to))?;
            if self.ended {
                to.finish().inspect_err(|_| self.failed_to_write = true)?;
                self.done = true;
                // An end awaits an answer as bytes do.
                self.has_written = true;
                return Poll::Ready(Ok(()));
            }
            if self.carried - before >= BYTES_PER_TURN {
                break;
            }
            ready!(self.read(cx, from, to))?;
        }
        self.has_more = true;
        Poll::Pending
    }

    /// Carries what came before the connection that is read broke, as far as it goes at once. The end behind it is none to be passed on.
    ///
    /// # Errors
    /// What has broken either connection, if it says so.
    pub(in crate::net) fn carry_rest<E: End>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut E,
        to: &mut E,
    ) -> io::Result<()> {
        loop {
            let Poll::Ready(()) = self.write(cx, to)? else { return Ok(()) };
            if self.ended {
                return Ok(());
            }
            let Poll::Ready(()) = self.read(cx, from, to)? else { return Ok(()) };
        }
    }

    /// Writes all that was read.
    fn write<E: End>(&mut self, cx: &mut Context<'_>, to: &mut E) -> Poll<io::Result<()>> {
        let result = self.write_held(cx, to);
        self.failed_to_write |= matches!(result, Poll::Ready(Err(_)));
        result
    }

    fn write_held<E: End>(&mut self, cx: &mut Context<'_>, to: &mut E) -> Poll<io::Result<()>> {
        if let Some(Held::Pipe(pipe)) = self.held.as_deref_mut() {
            while !pipe.is_empty() {
                let Some(moved) = ready!(pipe.drain(cx, to))? else {
                    self.empty_pipe()?;
                    break;
                };
                self.carried += moved as u64;
                self.has_written = true;
            }
        }
        match self.held.as_deref_mut() {
            None | Some(Held::Pipe(_)) => {}
            Some(Held::Bytes { bytes, start }) => {
                while *start < bytes.len() {
                    let n = ready!(to.poll_write(cx, &bytes[*start..]))?;
                    *start += n;
                    self.carried += n as u64;
                    self.has_written = true;
                }
                self.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once. Everything read before has been written.
    fn read<E: End>(&mut self, cx: &mut Context<'_>, from: &mut E, to: &mut E) -> Poll<io::Result<()>> {
        if !from.may_splice() {
            // A pipe that is held is empty by now.
            self.give_back_pipe();
        } else if self.large_reads >= BULK_READS && self.held.is_none() {
            // Only when there is something to read: a pipe is not held while waiting.
            ready!(from.poll_readable(cx))?;
            match Pipe::take() {
                Some(pipe) => {
                    self.held = Some(Box::new(Held::Pipe(pipe)));
                    if !std::mem::replace(&mut self.was_bulk, true) {
                        to.expect_bulk();
                    }
                }
                None => self.large_reads = -REFUSED_READS,
            }
        }
        let Some(Held::Pipe(pipe)) = self.held.as_deref_mut() else { return self.copy(cx, from, to) };
        let n = match pipe.fill(cx, from) {
            Poll::Ready(result) => result?,
            Poll::Pending => {
                self.give_back_pipe();
                return Poll::Pending;
            }
        };
        let Some(n) = n else {
            self.give_back_pipe();
            self.large_reads = -REFUSED_READS;
            return self.copy(cx, from, to);
        };
        // Nothing is the end, or urgent data behind which the end is: the next read copies and finds out.
        if n < PIPE_BYTES_MIN {
            self.large_reads = 0;
            // What is in it goes out first; the next read copies.
            if let Poll::Ready(result) = self.write(cx, to) {
                result?;
                self.give_back_pipe();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has what is in the pipe in hand as bytes.
    ///
    /// # Errors
    /// The system does not give it.
    fn empty_pipe(&mut self) -> io::Result<()> {
        if let Some(Held::Pipe(pipe)) = self.held.take().map(|held| *held) {
            self.held = Some(Box::new(Held::Bytes { bytes: pipe.into_bytes()?, start: 0 }));
            self.large_reads = -REFUSED_READS;
        }
        Ok(())
    }

    fn give_back_pipe(&mut self) {
        if let Some(Held::Pipe(pipe)) = self.held.take().map(|held| *held) {
            pipe.give_back();
        }
    }

    fn copy<E: End>(&mut self, cx: &mut Context<'_>, from: &mut E, to: &mut E) -> Poll<io::Result<()>> {
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                // Fresh zeroed memory: pages that no read reaches never become resident.
                *buffer = vec![0; COPY_BYTES];
            }
            let n = ready!(from.poll_read(cx, buffer))?;
            let bytes = &buffer[..n];
            if bytes.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            let is_large = bytes.len() >= BULK_READ_BYTES;
            self.large_reads = if is_large { (self.large_reads + 1).min(BULK_READS) } else { 0 };
            let written = match to.poll_write(cx, bytes) {
                Poll::Ready(n) => n.inspect_err(|_| self.failed_to_write = true)?,
                Poll::Pending => 0,
            };
            self.carried += written as u64;
            self.has_written |= written > 0;
            if written < bytes.len() {
                self.held = Some(Box::new(Held::Bytes { bytes: bytes[written..].to_vec(), start: 0 }));
            }
            Poll::Ready(Ok(()))
        })
    }
}
