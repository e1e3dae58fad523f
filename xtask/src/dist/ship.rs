//! One platform's files: built, described, packed.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::{contents, deb};
use crate::{
    archive::{self, Entry},
    builders::{Build, Builder},
    checksum,
    dependencies::{self, Dependencies},
    project,
    release::{MadeWith, Program, Shipped, Source, Sum},
    targets::Target,
    toolchain::Std,
    verify::{self, Folders},
};

/// What all platforms have in common.
#[derive(Debug)]
pub(crate) struct Common<'a> {
    pub(crate) build: Build<'a>,
    pub(crate) source: Source,
    /// Documents, man pages, completions.
    pub(crate) contents: Vec<Entry>,
}

impl Common<'_> {
    /// Builds the program for `target` and puts everything that is published for it into `stage`.
    ///
    /// # Errors
    /// It does not build, or what was built may not ship.
    pub(crate) fn ship(&self, target: &Target, builder: Builder, stage: &Path) -> Result<Shipped> {
        let sh = self.build.sh;
        let built = self.build.run(target.triple, builder)?;
        let program = fs::read(&built).with_context(|| format!("the build left no {}", built.display()))?;
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
