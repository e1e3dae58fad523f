//! Where received data goes: written by a thread of its own, since whoever reads it may pause, and the connection must not.

use std::{
    fs::{self, File},
    io::{self, Write, stdout},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::Notify;

/// What may wait to be written, besides what is being written. Beyond it nothing more is received, and the relay holds the senders back.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Standard output, or a file that appears under its name only when it is complete.
pub(super) struct Output {
    shared: Arc<Shared>,
    /// The file while it is not complete.
    part: Option<PathBuf>,
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

enum Sink {
    Standard,
    File { file: File, part: PathBuf, path: PathBuf },
}

impl Output {
    pub(super) fn standard() -> io::Result<Self> {
        Self::start(Sink::Standard, None)
    }

    /// A file; until [`Self::finish`] it stands beside `path` under another name.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a file name"))?;
        let mut part_name = name.to_os_string();
        part_name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(part_name);
        let file = File::create_new(&part)?;
        Self::start(Sink::File { file, part: part.clone(), path: path.to_owned() }, Some(part))
    }

    fn start(mut sink: Sink, part: Option<PathBuf>) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), has_work: Condvar::new(), changed: Notify::new() });
        let output = Self { shared: Arc::clone(&shared), part };
        thread::Builder::new().spawn(move || {
            let result = shared.write_all_to(&mut sink);
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
        self.shared.wait_for(|state| (state.has_room() || state.result.is_some()).then_some(())).await;
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

    /// Waits until everything is written, and puts a file in its place.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.shared.lock().is_complete = true;
        self.shared.has_work.notify_one();
        self.shared.wait_for(|state| state.result.take()).await?;
        self.part = None;
        Ok(())
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
    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_BYTES_MAX
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => stdout().lock().write_all(bytes).and_then(|()| stdout().flush()),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Puts the complete file in its place.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Standard => Ok(()),
            Self::File { file, part, path } => {
                file.sync_all()?;
                fs::rename(part, path)
            }
        }
    }
}
