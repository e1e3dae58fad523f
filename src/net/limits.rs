//! Limits of the process.

/// Raises the soft limit on open descriptors to the hard one. Where that is not possible the limit stays, and the accept loop copes
/// with reaching it.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// What a program has besides connections, listeners and threads: the standard streams, the runtime's own, signals, a file that is read.
const OWN_DESCRIPTORS: usize = 16;

/// What each thread that looks after streams has.
const DESCRIPTORS_OF_THREAD: usize = 2;

/// How many descriptors this process may have for connections beside so many listeners and threads that look after streams; `usize::MAX`
/// where there is no limit.
pub fn descriptors_for_connections(listeners: usize, threads: usize) -> usize {
    descriptor_limit().map_or(usize::MAX, |limit| {
        limit.saturating_sub(OWN_DESCRIPTORS + listeners + threads * DESCRIPTORS_OF_THREAD)
    })
}

/// How many descriptors this process may have; `None` where there is no limit.
fn descriptor_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::Nofile).current;
        limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}
