//! Where the settings of a relay come from: the command line counts more than the environment, and that more than the file.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use clap::{Arg, FromArgMatches, parser::ValueSource};

use super::{Serve, file::File};
use crate::{
    cli::{
        Failure,
        config::{self, Merged, merge},
        secrets,
    },
    relay::Policy,
    wire::{SECRET_BYTES_SAFE, Secret},
};

/// Settings that a running relay takes over when it reads them again, for which Windows has no signal.
#[cfg(unix)]
const CHANGEABLE: [&str; 9] = [
    "allow",
    "allow-v1",
    "deny",
    "log-level",
    "max-connections",
    "max-connections-per-address",
    "max-streams-per-service",
    "new-connections-per-second",
    "token-file",
];

/// Everything a relay is run with.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) serve: Serve,
    file: File,
    /// Each option as it counts, and where it is from.
    values: BTreeMap<String, (Vec<String>, String)>,
}

impl Settings {
    /// Reads the file that the command line names, if it does, and puts everything together.
    ///
    /// # Errors
    /// What is wrong in the file, with its line.
    pub(super) fn read(config: Option<&Path>) -> Result<Self, Failure> {
        let file = config.map(File::read).transpose()?.unwrap_or_default();
        let Merged { before, after, lines } = merge("serve", &file.options)?;
        let serve = Serve::from_arg_matches(&after).map_err(|error| Failure::usage(error.to_string()))?;
        let mut values = BTreeMap::new();
        for argument in arguments() {
            let (Some(name), id) = (argument.get_long(), argument.get_id().as_str()) else { continue };
            let raw = after.try_get_raw(id).ok().flatten();
            let raw = raw.map(|raw| raw.map(|word| word.to_string_lossy().into_owned()).collect());
            let source = match (lines.get(name), before.value_source(id)) {
                (Some(line), _) => format!("line {line}"),
                (_, Some(ValueSource::CommandLine)) => "command line".to_owned(),
                (_, Some(ValueSource::EnvVariable)) => "environment".to_owned(),
                _ => "default".to_owned(),
            };
            values.insert(name.to_owned(), (raw.unwrap_or_default(), source));
        }
        Ok(Self { serve, file, values })
    }

    /// What is allowed.
    ///
    /// # Errors
    /// A token that cannot be read, or rules that contradict each other.
    pub(super) fn policy(&self) -> Result<Policy, Failure> {
        let default = secrets::token(self.serve.token_file.as_deref())?;
        let tokens = self.file.tokens.iter().cloned();
        let tokens: Vec<(String, Secret)> =
            tokens.chain(default.map(|token| (DEFAULT_TOKEN.to_owned(), token))).collect();
        if tokens.iter().filter(|(name, _)| name == DEFAULT_TOKEN).count() > 1 {
            return Err(Failure::usage(format!(
                "the file has a token `{DEFAULT_TOKEN}`, and RELAY_TOKEN or --token-file gives another; rename one."
            )));
        }
        let mut foreign = self.file.foreign_tokens.iter();
        if let Some((_, failure)) = foreign.find(|(name, _)| tokens.iter().all(|(known, _)| known != name)) {
            return Err(failure.clone());
        }
        let policy = Policy::new(tokens, self.file.rules.clone());
        let mut policy = policy.map_err(|error| Failure::usage(format!("{error}.")))?;
        self.serve.limit(&mut policy);
        Ok(policy)
    }

    /// The names of tokens that are short enough to be guessed.
    pub(super) fn warn_of_short_tokens(policy: &Policy) {
        for name in policy.short_tokens() {
            tracing::warn!(
                name,
                "the token is short enough to be guessed; use {SECRET_BYTES_SAFE} random characters or more"
            );
        }
    }

    /// What differs from `other` and needs a restart.
    #[cfg(unix)]
    pub(super) fn needs_restart(&self, other: &Self) -> Vec<&str> {
        let differs = |name: &&str| {
            let of = |settings: &Self| settings.values.get(*name).map(|(words, _)| words.clone());
            !CHANGEABLE.contains(name) && of(self) != of(other)
        };
        self.values.keys().map(String::as_str).filter(differs).collect()
    }

    /// The settings as the lines of a file, each with where it is from. Tokens stay hidden.
    pub(super) fn show(&self, policy: &Policy) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (name, (words, source)) in &self.values {
            let value = match words.as_slice() {
                [] => "none".to_owned(),
                words if is_list(name) => format!("[{}]", list(words)),
                words => words.first().map_or_else(String::new, |word| value(word)),
            };
            let comment = if words.is_empty() { "# " } else { "" };
            let _ = writeln!(text, "{comment}{name} = {value}  # {source}");
        }
        let _ = writeln!(text, "# tokens: {}", list_of(policy.token_names()));
        for rule in &self.file.rules {
            let _ = writeln!(text, "[[rules]]");
            if let Some(tokens) = &rule.tokens {
                let _ = writeln!(text, "tokens = [{}]", list(tokens));
            }
            for (action, names) in
                [("register", &rule.register), ("expose", &rule.expose), ("open", &rule.open)]
            {
                let _ = writeln!(text, "{action} = [{}]", list(names));
            }
        }
        text
    }
}

/// The name of the token from `RELAY_TOKEN` or `--token-file`.
const DEFAULT_TOKEN: &str = "default";

/// The options that a file can have.
fn arguments() -> Vec<Arg> {
    let mut all = config::arguments("serve");
    all.retain(|argument| !["config", "check", "help"].contains(&argument.get_id().as_str()));
    all
}

fn is_list(name: &str) -> bool {
    arguments().iter().any(|argument| {
        argument.get_long() == Some(name) && matches!(argument.get_action(), clap::ArgAction::Append)
    })
}

fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

fn value(word: &str) -> String {
    let is_plain = word.parse::<i64>().is_ok() || word == "true" || word == "false";
    if is_plain { word.to_owned() } else { quoted(word) }
}

/// A TOML string, which takes the escapes of JSON.
fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}
