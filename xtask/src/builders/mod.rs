//! The ways to build the program. Each takes a triple and gives the path of a finished program, built from the locked
//! dependencies, without a path of this machine in it.

mod cargo;
mod flags;

pub(crate) use cargo::build as cargo;
