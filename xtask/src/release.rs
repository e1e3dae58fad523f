//! `release.json`: what was shipped, from what, and what is known about it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    checksum,
    json::{Json, json_object, member, without_empty},
    project,
    targets::TARGETS,
    verify::Facts,
};

/// The name of the file.
pub(crate) const FILE: &str = "release.json";

/// Everything in a folder of finished files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) targets: Vec<Shipped>,
}

/// What there is for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) triple: String,
    /// Whose machine it is.
    pub(crate) machine: String,
    pub(crate) source: Source,
    pub(crate) made_with: MadeWith,
    pub(crate) archive: Sum,
    /// What is published beside the archive.
    pub(crate) files: Vec<Sum>,
    /// The program in the archive.
    pub(crate) program: Program,
    /// The end-to-end suite's judgement of exactly this archive, once it was run here.
    pub(crate) tests: Option<Tests>,
}

/// The sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The commit.
    pub(crate) commit: String,
    /// Its time in seconds since 1970: that of everything in the archives.
    pub(crate) seconds: u64,
    /// Whether there was more in the tree than the commit has. Such a release cannot be built again.
    pub(crate) modified: bool,
}

/// The tools, with their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeWith {
    pub(crate) compiler: String,
    pub(crate) builder: String,
    /// `prebuilt`, or `source` where the standard library was compiled along.
    pub(crate) standard_library: String,
}

/// A file and its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Sum {
    pub(crate) fn of(file: impl Into<String>, data: &[u8]) -> Self {
        Self { file: file.into(), bytes: data.len() as u64, sha256: checksum::sha256(data) }
    }
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) sum: Sum,
    pub(crate) facts: Facts,
}

/// What came of the end-to-end suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tests {
    /// What the program ran on.
    pub(crate) runner: String,
    pub(crate) passed: u64,
    /// Tests that this runner cannot run, such as those that look at the process from outside.
    pub(crate) not_run: u64,
    /// Of those that passed, the ones that did so only when they were run once more, on a runner that is known to fail by itself.
    pub(crate) second_try: Vec<String>,
}

json_object!(Release { name, version, targets });
json_object!(Shipped { triple, machine, source, made_with, archive, files, program, tests });
json_object!(Source { commit, seconds, modified });
json_object!(MadeWith { compiler, builder, standard_library });
json_object!(Sum { file, bytes, sha256 });

/// The members of both parts in one object.
impl Json for Program {
    fn to_json(&self) -> Value {
        let mut object = self.sum.to_json();
        if let (Some(members), Value::Object(facts)) = (object.as_object_mut(), self.facts.to_json()) {
            members.extend(facts);
        }
        object
    }

    fn of_json(value: &Value) -> Result<Self> {
        Ok(Self { sum: Sum::of_json(value)?, facts: Facts::of_json(value)? })
    }
}

impl Json for Tests {
    fn to_json(&self) -> Value {
        let Self { runner, passed, not_run, second_try } = self;
        let object = serde_json::json!({
            "runner": runner, "passed": passed, "not_run": not_run, "second_try": second_try,
        });
        without_empty(object, &["second_try"])
    }

    fn of_json(value: &Value) -> Result<Self> {
        let second_try = member::<Option<_>>(value, "second_try")?.unwrap_or_default();
        let (passed, not_run) = (member(value, "passed")?, member(value, "not_run")?);
        Ok(Self { runner: member(value, "runner")?, passed, not_run, second_try })
    }
}

impl Tests {
    /// `9 passed (at the second try: name), 2 not run, on wine`
    pub(crate) fn shown(&self) -> String {
        let again = match self.second_try.as_slice() {
            [] => String::new(),
            names => format!(" (at the second try: {})", names.join(", ")),
        };
        format!("{} passed{again}, {} not run, on {}", self.passed, self.not_run, self.runner)
    }
}

impl Release {
    /// One with nothing in it yet.
    pub(crate) fn empty() -> Self {
        let (name, version) = (project::PACKAGE.to_owned(), project::VERSION.to_owned());
        Self { name, version, targets: Vec::new() }
    }

    /// That of the files in `folder`.
    ///
    /// # Errors
    /// There is none, or it is not one of ours.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read(&path)
            .with_context(|| format!("there is no {}; `cargo xtask dist` makes it", project::shown(&path)))?;
        let read = || Self::of_json(&serde_json::from_slice(&text)?);
        read().with_context(|| format!("{} is damaged", project::shown(&path)))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.to_json())? + "\n")
    }

    /// What there is for the platform.
    ///
    /// # Errors
    /// Nothing.
    pub(crate) fn shipped(&self, triple: &str) -> Result<&Shipped> {
        let found = self.targets.iter().find(|shipped| shipped.triple == triple);
        found.with_context(|| format!("nothing was built for {triple}; run `cargo xtask dist -t {triple}`"))
    }

    /// Takes in what is new for a platform. What the suite said of the very same archive stays true.
    pub(crate) fn put(&mut self, mut shipped: Shipped) {
        if let Ok(old) = self.shipped(&shipped.triple)
            && old.archive == shipped.archive
            && shipped.tests.is_none()
        {
            shipped.tests.clone_from(&old.tests);
        }
        self.targets.retain(|old| old.triple != shipped.triple);
        self.targets.push(shipped);
        let place = |triple: &str| TARGETS.iter().position(|target| target.triple == triple);
        self.targets.sort_by_key(|shipped| place(&shipped.triple));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shipped(triple: &str, archive: &[u8]) -> Shipped {
        let facts = Facts {
            format: "elf".into(),
            architecture: "X86_64, little endian".into(),
            libraries: vec![],
            loader: None,
            minimum_os: None,
        };
        Shipped {
            triple: triple.into(),
            machine: "any".into(),
            source: Source { commit: "c".into(), seconds: 1, modified: false },
            made_with: MadeWith {
                compiler: "r".into(),
                builder: "z".into(),
                standard_library: "source".into(),
            },
            archive: Sum::of("a.tar.gz", archive),
            files: vec![],
            program: Program { sum: Sum::of("relay", b"p"), facts },
            tests: None,
        }
    }

    #[test]
    fn a_judgement_is_kept_only_for_the_very_same_archive() {
        let tests = Some(Tests { runner: "native".into(), passed: 9, not_run: 0, second_try: vec![] });
        let mut release = Release::empty();
        release.put(Shipped { tests: tests.clone(), ..shipped("s390x-unknown-linux-musl", b"one") });
        release.put(shipped("x86_64-unknown-linux-musl", b"other"));
        assert_eq!(release.targets[0].triple, "x86_64-unknown-linux-musl", "in the order of the table");
        release.put(shipped("s390x-unknown-linux-musl", b"one"));
        assert_eq!(release.shipped("s390x-unknown-linux-musl").unwrap().tests, tests);
        release.put(shipped("s390x-unknown-linux-musl", b"two"));
        assert_eq!(release.shipped("s390x-unknown-linux-musl").unwrap().tests, None);
        assert!(release.shipped("nowhere").unwrap_err().to_string().contains("dist -t nowhere"));
        let read = |text: &str| Release::of_json(&serde_json::from_str(text).unwrap());
        assert_eq!(read(&release.to_text().unwrap()).unwrap(), release);
    }

    #[test]
    fn what_was_published_before_is_read() {
        let text = fs::read_to_string(project::root().join("binaries").join(FILE)).unwrap();
        let before: Value = serde_json::from_str(&text).unwrap();
        let release = Release::of_json(&before).unwrap();
        assert_eq!(release.to_json(), before);
    }
}
