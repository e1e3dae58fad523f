//! Limits of the process.

/// Raises the soft limit on open descriptors to the hard one. Where that is not possible the limit stays, and the accept loop copes
/// with reaching it.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
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

/// How many descriptors this process may have; `None` where there is no limit, or a sandbox does not let it be read.
fn descriptor_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        (limit != RLIM_INFINITY).then(|| usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}
