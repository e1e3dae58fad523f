//! What must be true of a program before anybody downloads it.

use std::{env, path::PathBuf};

use anyhow::Result;
use xshell::Shell;

use super::{
    facts::{self, Facts},
    signature,
};
use crate::{project, report, targets::Target, toolchain};

/// What every Windows since 10 has. Without case, as Windows compares.
const WINDOWS_LIBRARIES: &[&str] = &[
    "advapi32.dll",
    "bcryptprimitives.dll",
    "kernel32.dll",
    "ntdll.dll",
    "ucrtbase.dll",
    "user32.dll",
    "userenv.dll",
    "ws2_32.dll",
];
/// Families of the same: the parts of the C library and of the system's interface.
const WINDOWS_FAMILIES: &[&str] = &["api-ms-win-crt-", "api-ms-win-core-"];
/// What every macOS has.
const MACOS_LIBRARIES: &[&str] =
    &["/usr/lib/libSystem.B.dylib", "/usr/lib/libcharset.1.dylib", "/usr/lib/libiconv.2.dylib"];

/// Folders of this machine, none of which may be named in a program.
#[derive(Debug)]
pub(crate) struct Folders(Vec<String>);

impl Folders {
    /// Those of this machine: the repository, the home folder, cargo's and the compiler's.
    ///
    /// # Errors
    /// rustc does not run.
    pub(crate) fn of_this_machine(sh: &Shell) -> Result<Self> {
        let mut folders = vec![project::root().to_owned(), toolchain::sysroot(sh)?, project::target_dir()];
        folders.extend(env::home_dir());
        folders.extend(["CARGO_HOME", "RUSTUP_HOME"].iter().filter_map(env::var_os).map(PathBuf::from));
        Ok(Self::new(folders))
    }

    /// Exactly these.
    pub(crate) fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let texts = folders.into_iter().map(|folder| folder.to_string_lossy().into_owned());
        // A home such as `/` is in everything.
        Self(
            texts
                .filter(|text| text.len() > 2)
                .map(|text| format!("{}/", text.trim_end_matches('/')))
                .collect(),
        )
    }

    /// The first place where the program names one of them, with what follows.
    fn named_in(&self, program: &[u8]) -> Option<String> {
        self.0.iter().find_map(|folder| {
            let at = program.windows(folder.len()).position(|bytes| bytes == folder.as_bytes())?;
            let rest = program[at..].iter().take(100).take_while(|byte| byte.is_ascii_graphic());
            Some(rest.map(|byte| char::from(*byte)).collect())
        })
    }
}

/// Everything that is wrong with the program of `target`; nothing, if it may ship. And what it is, where it is one.
pub(crate) fn check(target: &Target, program: &[u8], folders: &Folders) -> (Option<Facts>, Vec<String>) {
    let facts = match facts::read(program) {
        Ok(facts) => facts,
        Err(error) => return (None, vec![format!("{error:#}")]),
    };
    let mut problems = Vec::new();
    let (format, architecture) = facts::expected(target.triple);
    if facts.format != format || facts.architecture != architecture {
        problems.push(format!("it is for another machine: {}, {}", facts.format, facts.architecture));
    }
    if let Some(loader) = &facts.loader {
        problems.push(format!("it is not static: it asks for {loader}"));
    }
    for library in facts.libraries.iter().filter(|library| !may_ask_for(format, library)) {
        problems.push(format!("it asks for {library}, which not every system has"));
    }
    if facts.minimum_os.as_deref() != target.macos {
        let oldest = facts.minimum_os.as_deref().unwrap_or("none");
        problems.push(format!("the oldest macOS is {oldest} instead of {}", target.macos.unwrap_or("none")));
    }
    if target.triple == "aarch64-apple-darwin"
        && let Err(error) = signature::check(program)
    {
        problems.push(format!("{error:#}"));
    }
    let bytes = program.len() as u64;
    if bytes > target.budget_bytes {
        let (size, budget) = (report::megabytes(bytes), report::megabytes(target.budget_bytes));
        problems.push(format!("it is larger than its budget: {size} of {budget}"));
    }
    if let Some(path) = folders.named_in(program) {
        problems.push(format!("it names a folder of the machine that built it: {path}"));
    }
    (Some(facts), problems)
}

fn may_ask_for(format: &str, library: &str) -> bool {
    match format {
        "pe" => {
            let library = library.to_lowercase();
            WINDOWS_LIBRARIES.contains(&library.as_str())
                || WINDOWS_FAMILIES.iter().any(|family| library.starts_with(family))
        }
        "macho" => MACOS_LIBRARIES.contains(&library),
        _ => false,
    }
}
