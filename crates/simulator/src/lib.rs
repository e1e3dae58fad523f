//! Drives the core of `relay` through random schedules, and checks after every step what must always hold.
//!
//! A seed makes a [`op::script`]; [`run`] plays it on a [`world::World`]; where something does not hold, [`shrink`] looks for the shortest
//! script that shows the same. With a [`Mutation`] put back, the simulator has to find it.

mod bounds;
mod check;
pub mod client;
pub mod op;
mod peer;
mod serve;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use name_relay_core::mutation::{self, Mutation};

use self::{op::Op, world::World};

/// Plays a script with a fault put back, or none.
///
/// # Errors
/// What did not hold, and after how many steps.
pub fn run(script: &[Op], fault: Option<Mutation>) -> Result<(), (usize, String)> {
    mutation::put_back(fault);
    let mut at = 0;
    let played = catch_unwind(AssertUnwindSafe(|| {
        for is_calm in [false, true] {
            let world = World::new(is_calm);
            at = 0;
            for op in script {
                world.step(*op)?;
                at += 1;
            }
            world.settle()?;
        }
        Ok(())
    }));
    mutation::put_back(None);
    match played {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err((at, fault)),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            Err((at, words.unwrap_or_else(|| "it panics".to_owned())))
        }
    }
}

/// The shortest script that was found to fail too, by leaving out parts of this one, in at most `tries` runs.
pub fn shrink(script: &[Op], fault: Option<Mutation>, tries: usize) -> Vec<Op> {
    let mut shortest = script.to_vec();
    if let Err((at, _)) = run(&shortest, fault) {
        let cut = shortest[..shortest.len().min(at + 1)].to_vec();
        if run(&cut, fault).is_err() {
            shortest = cut;
        }
    }
    let (mut tries, mut part) = (tries, shortest.len() / 2);
    while part > 0 && tries > 0 {
        let mut start = 0;
        while start < shortest.len() && tries > 0 {
            tries -= 1;
            let mut shorter = shortest.clone();
            shorter.drain(start..(start + part).min(shorter.len()));
            if run(&shorter, fault).is_err() {
                shortest = shorter;
            } else {
                start += part;
            }
        }
        part /= 2;
    }
    shortest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const STEPS: usize = 300;

    #[test]
    fn everything_holds_on_random_schedules() {
        for seed in 1..=300 {
            let script = op::script(seed, STEPS);
            assert_eq!(run(&script, None), Ok(()), "seed {seed}");
        }
    }

    #[test]
    fn every_fault_of_the_past_is_found() {
        for fault in Mutation::ALL {
            let found = (1..=20_000).find(|seed| run(&op::script(*seed, STEPS), Some(fault)).is_err());
            assert!(found.is_some(), "{fault:?}");
        }
    }

    /// Each file is the short form of a schedule that showed a fault.
    #[test]
    fn schedules_that_showed_a_fault_show_none_now() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut played = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let script = op::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(run(&script, None), Ok(()), "{}", path.display());
            let name = path.file_stem().unwrap().to_string_lossy().replace('-', "");
            let fault = Mutation::ALL.iter().find(|fault| format!("{fault:?}").eq_ignore_ascii_case(&name));
            if let Some(fault) = fault {
                assert!(run(&script, Some(*fault)).is_err(), "{} shows {fault:?} no more", path.display());
            }
            played += 1;
        }
        assert!(played >= 3);
    }

    #[test]
    fn a_script_that_fails_is_made_shorter() {
        let fault = Some(Mutation::EmptyMessageNeedsNoPlace);
        let script = (1..1000).map(|seed| op::script(seed, STEPS)).find(|script| run(script, fault).is_err());
        let script = script.unwrap();
        let short = shrink(&script, fault, 1000);
        assert!(short.len() < 30 && run(&short, fault).is_err(), "{}", short.len());
    }
}
