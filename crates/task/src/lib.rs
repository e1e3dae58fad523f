//! What the programs for maintainers share: `xtask`, and the bench that it calls. Small, since `cargo xtask` compiles it first.

pub mod project;
pub mod report;
