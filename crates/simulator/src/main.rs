//! `cargo xtask simulate`: thousands of random schedules, or one that a failure left.

use std::{
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Parser;
use name_relay_core::mutation::Mutation;
use relay_simulator::{op, run, shrink};

/// Runs to make a failing script shorter.
const SHRINK_TRIES: usize = 4000;

/// Drive the core through random schedules and check what must always hold
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Args {
    /// So many seeds
    #[arg(long, value_name = "N", default_value = "5000")]
    seeds: u64,

    /// The first of them
    #[arg(long, value_name = "N", default_value = "1")]
    from: u64,

    /// Steps of each
    #[arg(long, value_name = "N", default_value = "300")]
    steps: usize,

    /// Play this script instead
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Put a fault of the past back; the run succeeds if it is found
    #[arg(long, value_name = "FAULT")]
    mutation: Option<Fault>,

    /// With a fault put back, show the short script that finds it too
    #[arg(long)]
    show: bool,

    /// Put every fault back, one at a time; the run succeeds if each is found within a minute
    #[arg(long)]
    mutations: bool,
}

#[derive(Debug, Clone, Copy)]
struct Fault(Mutation);

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |fault: &&Mutation| format!("{fault:?}").eq_ignore_ascii_case(&text.replace('-', ""));
        let names = || Mutation::ALL.map(|fault| format!("{fault:?}")).join(", ");
        Mutation::ALL
            .iter()
            .find(named)
            .map(|fault| Self(*fault))
            .ok_or_else(|| format!("the faults are {}", names()))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic is a result here, not an accident; its words are in the report.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(path) = &args.script {
        return play(path, args.mutation);
    }
    if args.mutations {
        let mut found = 0;
        for fault in Mutation::ALL {
            found += usize::from(search(&args, Some(Fault(fault)), Duration::from_secs(60)));
        }
        println!("{found} passed, {} failed", Mutation::ALL.len() - found);
        return if found == Mutation::ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let found = search(&args, args.mutation, Duration::MAX);
    if found == args.mutation.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays scripts until one fails, and shows that. True if one did.
fn search(args: &Args, fault: Option<Fault>, limit: Duration) -> bool {
    let mutation = fault.map(|fault| fault.0);
    let started = Instant::now();
    let mut last = Instant::now();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let script = op::script(seed, args.steps);
        let Err((_, words)) = run(&script, mutation) else {
            if started.elapsed() >= limit {
                break;
            }
            if last.elapsed() >= Duration::from_secs(10) {
                last = Instant::now();
                eprintln!("seed {seed}");
            }
            continue;
        };
        let took = started.elapsed().as_secs_f64();
        match mutation {
            Some(mutation) => println!("{mutation:?}: found with seed {seed} after {took:.1} s: {words}"),
            None => println!("seed {seed}: {words}"),
        }
        if mutation.is_none() || args.show {
            let short = shrink(&script, mutation, SHRINK_TRIES);
            let words = run(&short, mutation).err().map_or(words, |(_, words)| words);
            println!("# {words}\n# seed {seed}, {} steps of {}", short.len(), script.len());
            short.iter().for_each(|op| println!("{op}"));
        }
        return true;
    }
    match mutation {
        Some(mutation) => println!("{mutation:?}: not found in {:.1} s", started.elapsed().as_secs_f64()),
        None => println!(
            "{} seeds of {} steps in {:.1} s: everything holds",
            args.seeds,
            args.steps,
            started.elapsed().as_secs_f64()
        ),
    }
    false
}

fn play(path: &PathBuf, fault: Option<Fault>) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("cannot read {}: {error}; check the path.", path.display());
            return ExitCode::FAILURE;
        }
    };
    match op::parse(&text).map(|script| run(&script, fault.map(|fault| fault.0))) {
        Err(error) => {
            eprintln!("{error}.");
            ExitCode::FAILURE
        }
        Ok(Ok(())) => {
            println!("everything holds");
            ExitCode::SUCCESS
        }
        Ok(Err((at, words))) => {
            println!("after {at} steps: {words}");
            ExitCode::FAILURE
        }
    }
}
