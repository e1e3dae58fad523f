//! Sockets: dialling, listening, options. Every difference between platforms lives here, behind one function with one contract.

mod accept;
mod backoff;
mod dial;
mod limits;
mod listen;
mod options;
mod shutdown;

pub use accept::Acceptor;
pub use backoff::Backoff;
pub use dial::{DialError, Target, dial, resolve};
pub use limits::raise_descriptor_limit;
pub use listen::{ListenError, bind};
pub use options::{Keepalive, SocketOptions};
pub use shutdown::stop_signal;
