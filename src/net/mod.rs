//! Sockets: dialling, listening, options. Every difference between platforms lives here, behind one function with one contract.

mod accept;
mod answers;
mod backoff;
mod dial;
mod ended;
mod join;
mod left;
mod limits;
mod listen;
mod lookup;
mod options;
mod reconnect;
mod shutdown;
mod silence;
mod streams;
#[cfg(target_os = "linux")]
mod unpaced;
mod whole;

pub use accept::Acceptor;
pub use answers::{Answers, answers};
pub use backoff::Backoff;
pub use dial::{DialError, Target, dial, resolve};
pub use ended::has_ended;
pub use join::{Broken, Edge, Joined, pipes, reset, settle};
pub use left::left;
pub use limits::{descriptors_for_connections, raise_descriptor_limit};
pub use listen::{ListenError, bind};
pub use options::{Keepalive, SocketOptions};
pub use reconnect::Reconnect;
pub use shutdown::stop_signal;
pub use silence::{Silence, look_every, unanswered};
pub use streams::{Streams, StreamsConfig};
pub use whole::{read_some, write_all};
