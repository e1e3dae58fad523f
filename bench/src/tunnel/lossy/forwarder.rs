//! A cable between two devices, for kernels without netem: a thread that takes packets from one and gives them to the other, later.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::{Cable, Wire};

/// More than the devices' packets have.
const PACKET_BYTES_MAX: usize = 2048;

/// The thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Forwarder {
    /// Joins two devices by a cable. Each direction loses packets of its own.
    ///
    /// # Errors
    /// The system has no more threads or sockets.
    pub(super) fn start(ends: [File; 2], cable: Cable, seed: u64) -> Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let now = Instant::now();
        let wires = [seed, seed + 1].map(|seed| Wire::new(cable, seed, now));
        let thread =
            thread::Builder::new().name("cable".into()).spawn(move || forward(&ends, wires, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop = None;
        let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) else { return };
        eprintln!("bench: the emulated cable broke: {error:#}");
    }
}

/// Wire n leads from end n to the other one.
fn forward(ends: &[File; 2], mut wires: [Wire; 2], stopped: &UnixStream) -> Result<()> {
    let mut buffer = [0; PACKET_BYTES_MAX];
    loop {
        let next = wires.iter().filter_map(Wire::next_arrival).min();
        let wait = next.map(|next| timespec(next.saturating_duration_since(Instant::now())));
        let mut sources = [
            PollFd::new(&ends[0], PollFlags::IN),
            PollFd::new(&ends[1], PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut sources, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        if !sources[2].revents().is_empty() {
            return Ok(());
        }
        for (mut end, wire) in ends.iter().zip(&mut wires) {
            // Ends with "would block", and with the failure of a device that is not up yet or no more.
            while let Ok(bytes) = end.read(&mut buffer) {
                wire.send(&buffer[..bytes], Instant::now());
            }
        }
        for (mut end, wire) in ends.iter().rev().zip(&mut wires) {
            while let Some(packet) = wire.receive(Instant::now()) {
                // A device that takes no packet loses it, as devices do.
                let _ = end.write(&packet);
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ }
}
