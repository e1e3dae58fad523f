//! Options of a command in a TOML file, under their own names. The command line counts more than the environment, and that more than the
//! file.

mod file;
mod merge;

pub(super) use self::{
    file::{Options, Setting, TomlFile, Value},
    merge::{Merged, arguments, merge},
};
