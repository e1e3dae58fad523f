//! Where received data goes: written by a thread of its own, since whoever reads it may pause, and the connection must not.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::Notify;

use super::sink::{Sink, Whole};

/// What may wait to be written, besides what is being written. Beyond it nothing more is received, and the relay holds the senders back.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Standard output, a file that appears under its name only when it is complete, or a device or a pipe, which is written as it is.
pub(super) struct Output {
    shared: Arc<Shared>,
    /// The file while it is not complete.
    part: Option<PathBuf>,
    is_finished: bool,
}

struct Shared {
    state: Mutex<State>,
    /// For the thread.
    has_work: Condvar,
    /// For everybody else.
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_complete: bool,
    /// The thread has ended.
    result: Option<io::Result<()>>,
}

impl Output {
    /// Standard output. A terminal gets what could steer it escaped, unless `is_raw`.
    pub(super) fn standard(is_raw: bool) -> io::Result<Self> {
        Self::start(None, move || Ok(Sink::standard(is_raw)))
    }

    /// A file. A regular one stands beside `path` under another name until [`Self::finish`]; anything else is written in place, and a
    /// terminal as standard output is.
    pub(super) fn file(path: &Path, is_raw: bool) -> io::Result<Self> {
        let about = fs::metadata(path);
        match about {
            Ok(about) if about.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
            // Opened by the thread: a pipe waits for its reader.
            Ok(about) if !about.is_file() => {
                let path = path.to_owned();
                Self::start(None, move || Sink::in_place(&path, is_raw))
            }
            _ => {
                let whole = Whole::create(path)?;
                Self::start(Some(whole.part().to_owned()), move || Ok(Sink::Whole(whole)))
            }
        }
    }

    fn start(
        part: Option<PathBuf>,
        open: impl FnOnce() -> io::Result<Sink> + Send + 'static,
    ) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), has_work: Condvar::new(), changed: Notify::new() });
        let output = Self { shared: Arc::clone(&shared), part, is_finished: false };
        thread::Builder::new().spawn(move || {
            let result = open().and_then(|mut sink| shared.write_all_to(&mut sink));
            shared.lock().result = Some(result);
            shared.changed.notify_one();
        })?;
        Ok(output)
    }

    /// Has the bytes written. Wait for [`Self::room`] before.
    pub(super) fn write(&self, bytes: &[&[u8]]) {
        let mut state = self.shared.lock();
        bytes.iter().for_each(|bytes| state.waiting.extend_from_slice(bytes));
        drop(state);
        self.shared.has_work.notify_one();
    }

    pub(super) fn has_room(&self) -> bool {
        self.shared.lock().has_room()
    }

    /// Waits until there is room, or writing has failed.
    pub(super) async fn room(&self) {
        self.shared.wait_for(|state| state.has_room().then_some(())).await;
    }

    /// Waits until writing fails, and tells once why.
    pub(super) async fn failed(&self) -> io::Error {
        self.shared
            .wait_for(|state| match state.result.take()? {
                Ok(()) => None,
                Err(error) => {
                    state.result = Some(Ok(()));
                    Some(error)
                }
            })
            .await
    }

    /// Waits until everything is written, and puts a file in its place. Once is enough: then nothing is left to do or to tell.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        self.shared.lock().is_complete = true;
        self.shared.has_work.notify_one();
        let written = self.shared.wait_for(|state| state.result.take()).await;
        self.is_finished = true;
        if written.is_ok() {
            self.part = None;
        }
        written
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

impl Shared {
    fn write_all_to(&self, sink: &mut Sink) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                if state.is_complete {
                    drop(state);
                    return sink.finish();
                }
                state = self.has_work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut state.waiting);
            drop(state);
            self.changed.notify_one();
            sink.write(&bytes)?;
        }
    }

    async fn wait_for<T>(&self, mut find: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            // One task waits at a time, and a notice that comes before it does is kept for it.
            let found = find(&mut self.lock());
            match found {
                Some(found) => return found,
                None => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Also when the thread has ended: nobody waits for it any more, and what has ended it is told instead.
    fn has_room(&self) -> bool {
        self.result.is_some() || self.waiting.len() < WAITING_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_room_at_a_thread_that_has_ended() {
        let mut state = State { waiting: vec![0; WAITING_BYTES_MAX - 1], ..State::default() };
        assert!(state.has_room());
        state.waiting.push(0);
        assert!(!state.has_room());
        state.result = Some(Err(io::ErrorKind::BrokenPipe.into()));
        assert!(state.has_room());
    }
}
