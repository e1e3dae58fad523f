//! A script: what happens in a simulation, step by step. Made from a seed, or read from a file that a failure left.

use std::{fmt, str::FromStr};

/// One step. The numbers are reduced to what exists at that moment, so any selection of a script's steps is a script too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// What happens.
    pub kind: Kind,
    /// To whom.
    pub who: u16,
    /// How much, or which.
    pub what: u16,
    /// Decides what other workers do in the middle of the step.
    pub between: u32,
}

/// What happens in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client connects and registers.
    Join,
    /// Hundreds of clients connect and register at once, each with a name of its own.
    Crowd,
    /// A client's bytes arrive at the relay.
    Send,
    /// The relay serves a client.
    Serve,
    /// A client reads.
    Read,
    /// Clients that wait for company are written to.
    Flush,
    /// Time passes.
    Tick,
    /// A client shuts down its sending side.
    Finish,
    /// A client's connection breaks.
    Reset,
}

/// Kinds, their words in a script, and how often each comes. A crowd comes to one seed in [`CROWDED`] only, since its steps take long.
const KINDS: [(Kind, &str, u32); 9] = [
    (Kind::Join, "join", 6),
    (Kind::Crowd, "crowd", 0),
    (Kind::Send, "send", 30),
    (Kind::Serve, "serve", 40),
    (Kind::Read, "read", 14),
    (Kind::Flush, "flush", 5),
    (Kind::Tick, "tick", 3),
    (Kind::Finish, "finish", 1),
    (Kind::Reset, "reset", 1),
];

/// Every so many seeds have a crowd.
const CROWDED: u64 = 50;

/// The script of a seed.
pub fn script(seed: u64, steps: usize) -> Vec<Op> {
    let mut random = fastrand::Rng::with_seed(seed);
    let all: u32 = KINDS.iter().map(|(_, _, weight)| weight).sum();
    let mut script: Vec<Op> = (0..steps)
        .map(|_| {
            let mut at = random.u32(0..all);
            let mut kind = Kind::Serve;
            for (candidate, _, weight) in KINDS {
                if at < weight {
                    kind = candidate;
                    break;
                }
                at -= weight;
            }
            Op { kind, who: random.u16(..), what: random.u16(..), between: random.u32(..) }
        })
        .collect();
    if seed.is_multiple_of(CROWDED) && steps > 0 {
        // Early, so that most of the steps have it.
        let crowd = Op { kind: Kind::Crowd, who: random.u16(..), what: random.u16(..), between: 0 };
        script.insert(random.usize(0..steps.div_ceil(4)), crowd);
    }
    script
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(kind, ..)| *kind == self.kind).map_or("serve", |(_, name, _)| name);
        write!(f, "{name} {} {} {}", self.who, self.what, self.between)
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{line}` is no step; a step is a word and three numbers, such as `send 3 17 0`");
        let mut words = line.split_whitespace();
        let word = words.next().ok_or_else(wrong)?;
        let kind = KINDS.iter().find(|(_, name, _)| *name == word).ok_or_else(wrong)?.0;
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).ok_or_else(wrong);
        let (who, what, between) = (number()?, number()?, number()?);
        let small = |n: u32| u16::try_from(n).map_err(|_| wrong());
        Ok(Self { kind, who: small(who)?, what: small(what)?, between })
    }
}

/// Reads a script, one step a line; empty lines and those that begin with `#` are left out.
///
/// # Errors
/// A line that is no step.
pub fn parse(text: &str) -> Result<Vec<Op>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_was_written() {
        let steps = script(7, 200);
        let text: String = steps.iter().map(|op| format!("{op}\n")).collect();
        assert_eq!(parse(&format!("# seed 7\n\n{text}")).unwrap(), steps);
        for wrong in ["", "dance 1 2 3", "send 1 2", "send 1 2 x", "send 70000 1 1"] {
            assert!(wrong.parse::<Op>().is_err(), "{wrong}");
        }
    }
}
