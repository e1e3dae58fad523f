//! Sockets: dialling, listening, options. Every difference between platforms lives here, behind one function with one contract.

mod accept;
mod answers;
mod backoff;
mod dial;
mod join;
mod limits;
mod listen;
mod lookup;
mod options;
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
pub use join::{Joined, reset};
pub use limits::raise_descriptor_limit;
pub use listen::{ListenError, bind};
pub use options::{Keepalive, SocketOptions};
pub use shutdown::stop_signal;
pub use silence::{Silence, look_every, unanswered};
pub use streams::{Streams, StreamsConfig};
pub use whole::{read_some, write_all};
