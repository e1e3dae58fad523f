//! The command line and a file, put together.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{Arg, ArgMatches, CommandFactory, parser::ValueSource};

use super::Setting;
use crate::cli::{Cli, Failure, secrets};

/// A command's options with those of a file.
#[derive(Debug)]
pub(in crate::cli) struct Merged {
    /// Without the file.
    pub(in crate::cli) before: ArgMatches,
    /// With it.
    pub(in crate::cli) after: ArgMatches,
    /// The lines of those that are from the file, by their names.
    pub(in crate::cli) lines: BTreeMap<String, usize>,
}

/// Puts the settings of a file beside this program's command line.
///
/// # Errors
/// What the command says of both together.
pub(in crate::cli) fn merge(command: &str, settings: &[Setting]) -> Result<Merged, Failure> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let before = matches(command, &given)?;
    let known = arguments(command);
    let mut lines = BTreeMap::new();
    let mut words: Vec<OsString> = given.iter().take(2).cloned().collect();
    for setting in settings {
        if !is_given(&known, &before, &setting.name) {
            words.extend(setting.words.iter().map(OsString::from));
            lines.insert(setting.name.clone(), setting.line);
        }
    }
    words.extend(given.iter().skip(2).cloned());
    let after = matches(command, &words)?;
    Ok(Merged { before, after, lines })
}

/// The arguments of a command.
pub(in crate::cli) fn arguments(command: &str) -> Vec<Arg> {
    let whole = Cli::command();
    let found = whole.find_subcommand(command).map(|found| found.get_arguments().cloned().collect());
    found.unwrap_or_default()
}

fn matches(command: &str, words: &[OsString]) -> Result<ArgMatches, Failure> {
    let wrong = |error: String| Failure::usage(error);
    let whole = Cli::command().try_get_matches_from(words).map_err(|error| wrong(error.to_string()))?;
    let found = whole.subcommand_matches(command).cloned();
    found.ok_or_else(|| wrong(format!("this is not `relay {command}`.")))
}

/// Whether the command line or the environment has the option.
fn is_given(known: &[Arg], matches: &ArgMatches, name: &str) -> bool {
    let argument = known.iter().find(|argument| argument.get_long() == Some(name));
    let source = argument.and_then(|argument| matches.value_source(argument.get_id().as_str()));
    secrets::is_in_environment(name)
        || matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}
