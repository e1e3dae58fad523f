//! Talking to a server as a Python script does: one message and its answer, or line by line.

mod conversation;
mod lines;
mod message;
mod screen;

pub use conversation::{Conversation, converse};
pub use lines::{Input, read_lines};
pub use message::{Answer, Ended, Listening, say};
pub use screen::Screen;
