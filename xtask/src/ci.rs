//! `cargo xtask ci`: what decides whether a change may land, on a clean clone. The last line is the result.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;

use crate::{
    builders::Builder,
    dist::Dist,
    e2e::EndToEnd,
    image::Image,
    packages::Packages,
    pipelines, project, report,
    suites::Tally,
    sync,
    targets::{self, Selection},
    test,
    verify::Verify,
};

/// Platforms that a change is tried on: one for each way of running programs and each processor that people have most.
const TRIED: &[&str] = &[
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "arm-unknown-linux-musleabihf",
    "x86_64-pc-windows-gnu",
];

/// Run everything that must hold before a change lands: tests here, then build, verify and test for the main platforms
#[derive(Debug, Args)]
pub(crate) struct Ci {
    /// Try the container image and the Debian packages too, which takes 10 minutes more
    #[arg(long)]
    packaging: bool,
}

impl Ci {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let sh = project::shell()?;
        // Not binaries/: what is committed there stays as it is.
        let folder = project::target_dir().join("ci");
        let tried = TRIED.iter().map(|triple| targets::find(triple)).collect::<Result<Vec<_>>>()?;
        let selection = || Selection::of(tried.clone(), folder.clone());
        let mut total = Tally::default();
        let mut times: Vec<[String; 2]> = Vec::new();
        let mut step = |name: &str, run: &mut dyn FnMut() -> Result<Tally>| {
            println!("\n== {name}");
            let started = Instant::now();
            let mut tally = run().unwrap_or_else(|error| {
                println!("{error:#}");
                Tally::of_check(false)
            });
            if tally.passed == 0 && tally.failed == 0 {
                println!("nothing could be run");
                tally.failed = 1;
            }
            times.push([name.to_owned(), took(started.elapsed(), tally)]);
            total.add(tally);
        };
        step("tests", &mut || test::Test { verbose: false }.tally());
        step("derived files", &mut || Ok(Tally::of_check(sync::differing()?.is_empty())));
        step("pipelines", &mut pipelines::check);
        step("dist", &mut || {
            let dist = Dist { selection: selection(), builder: Some(Builder::Zig), host: false };
            dist.run().map(|()| Tally::of_check(true))
        });
        step("verify", &mut || Verify { selection: selection() }.tally());
        step("e2e", &mut || EndToEnd { selection: selection(), verbose: false }.tally(&sh));
        if self.packaging {
            step("image", &mut || {
                Image { selection: selection(), publish: None, all: false, verbose: false }.tally(&sh)
            });
            step("packages", &mut || Packages { selection: selection() }.tally(&sh));
        }
        print!("\n{}", report::table(["step", ""], &times));
        println!("{} passed, {} failed", total.passed, total.failed);
        Ok(if total.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn took(time: Duration, tally: Tally) -> String {
    let state = if tally.is_green() { "good" } else { "FAILED" };
    format!("{state} in {}", report::duration(time))
}
