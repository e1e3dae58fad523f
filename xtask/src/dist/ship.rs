//! The files of each platform: built, described, packed.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::{contents, deb, host};
use crate::{
    archive::{self, Entry},
    builders::{Build, Builder, Built},
    checksum,
    dependencies::{self, Dependencies},
    project,
    release::{MadeWith, Program, Shipped, Source, Sum},
    targets::Target,
    toolchain::Std,
    verify::{self, Folders},
};

/// Builds the program for each of these platforms from the tree of `build`, which is that of `source`, and puts everything that is
/// published for them into `stage`. Says what that is, and how long each build took.
///
/// # Errors
/// A program does not build, this machine's own does not run, or what was built may not ship.
pub(crate) fn ship(
    build: Build<'_>,
    source: Source,
    wanted: &[(&Target, Builder)],
    stage: &Path,
) -> Result<Vec<(Shipped, Duration)>> {
    // This machine's own program writes the man pages and completions of all.
    let (host, builder) = host::triple_and_builder(build.sh)?;
    let (programs, own) = with_own(wanted, (&host, builder));
    let built = build.programs(programs)?;
    let own = built.get(own).context("this machine's own program was not built")?;
    let contents = contents::common(&build.source, &own.program)?;
    let common = Common { build, source, contents };
    let ship = |(&(target, builder), built): (&(&Target, Builder), &Built)| {
        Ok((common.ship(target, builder, built, stage)?, built.took))
    };
    wanted.iter().zip(&built).map(ship).collect()
}

/// All programs to build, those that are wanted first, and which of them is this machine's own.
fn with_own<'a>(
    wanted: &[(&'a Target, Builder)],
    own: (&'a str, Builder),
) -> (Vec<(&'a str, Builder)>, usize) {
    let mut programs: Vec<_> = wanted.iter().map(|(target, builder)| (target.triple, *builder)).collect();
    let place = programs.iter().position(|program| *program == own);
    let place = place.unwrap_or_else(|| {
        programs.push(own);
        programs.len() - 1
    });
    (programs, place)
}

/// What all platforms have in common.
#[derive(Debug)]
struct Common<'a> {
    build: Build<'a>,
    source: Source,
    /// Documents, man pages, completions.
    contents: Vec<Entry>,
}

impl Common<'_> {
    /// Puts everything that is published for `target`, whose program was built with `builder`, into `stage`.
    ///
    /// # Errors
    /// What was built may not ship.
    fn ship(&self, target: &Target, builder: Builder, built: &Built, stage: &Path) -> Result<Shipped> {
        let sh = self.build.sh;
        let program = built.read()?;
        let (facts, mut problems) = verify::program(target, &program, &Folders::of_this_machine(sh)?);
        problems.extend(dependencies::check(&program).err().map(|error| format!("{error:#}")));
        let facts = facts.filter(|_| problems.is_empty());
        let facts =
            facts.with_context(|| format!("{} may not ship: {}", target.triple, problems.join("; ")))?;
        let sum = Sum::of(project::program_file(target.triple), &program);

        let name = target.archive_file();
        let entries = contents::with_program(&self.contents, target.triple, program);
        let mut published = Vec::new();
        if let Some(name) = deb::file_name(target) {
            let package = deb::pack(target, &entries, &self.build.source, self.source.seconds)?;
            published.push((name, package));
        }
        let packed = archive::pack(target.archive, &target.folder(), entries, self.source.seconds)?;
        let made_with = made_with(sh, target, builder)?;
        let bill = Dependencies::of(sh, &self.build.source, target.triple)?.bill(&made_with.compiler)?;
        published.push((format!("{}.cdx.json", target.folder()), bill.into_bytes()));
        published.push((format!("{name}.sha256"), checksum::line(&name, &packed).into_bytes()));
        let archive = Sum::of(&name, &packed);
        published.push((name, packed));
        let mut files = Vec::new();
        for (file, data) in published {
            fs::write(stage.join(&file), &data).with_context(|| format!("cannot write {file}"))?;
            files.push(Sum::of(file, &data));
        }
        files.retain(|sum| *sum != archive);
        Ok(Shipped {
            triple: target.triple.to_owned(),
            machine: target.machine.to_owned(),
            source: self.source.clone(),
            made_with,
            archive,
            files,
            program: Program { sum, facts },
            tests: None,
        })
    }
}

fn made_with(sh: &Shell, target: &Target, builder: Builder) -> Result<MadeWith> {
    let standard_library = match Std::of(sh, target.triple)? {
        Std::Prebuilt => "prebuilt",
        Std::FromSource => "source",
    };
    let compiler = cmd!(sh, "rustc --version").quiet().read()?;
    Ok(MadeWith { compiler, builder: builder.version(), standard_library: standard_library.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets;

    #[test]
    fn the_own_program_is_built_once_whether_it_is_wanted_or_not() {
        let find = |triple| targets::find(triple).unwrap();
        let (own, other) = ("x86_64-unknown-linux-musl", "aarch64-apple-darwin");
        let wanted = [(find(other), Builder::Zig), (find(own), Builder::Zig)];
        assert_eq!(
            with_own(&wanted, (own, Builder::Zig)),
            (vec![(other, Builder::Zig), (own, Builder::Zig)], 1)
        );
        assert_eq!(
            with_own(&wanted[..1], (own, Builder::Zig)),
            (vec![(other, Builder::Zig), (own, Builder::Zig)], 1)
        );
        // Of another builder it has other bits.
        let (programs, place) = with_own(&wanted, (own, Builder::Cargo));
        assert_eq!((programs.len(), programs[place]), (3, (own, Builder::Cargo)));
    }
}
