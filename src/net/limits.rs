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
