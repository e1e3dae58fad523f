//! The relay's TOML file: every option of `relay serve` under its own name, the tokens, and the rules.

use std::{ops::Range, path::Path};

use toml::{Spanned, de::DeValue};

use super::Serve;
use crate::{
    cli::{
        Failure,
        config::{Options, Setting, TomlFile, Value},
    },
    relay::Rule,
    wire::Secret,
};

/// Options that make no sense in the file they name.
const NOT_IN_A_FILE: &[&str] = &["config", "check"];

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Options in the order of their lines.
    pub(super) options: Vec<Setting>,
    /// Tokens by their names.
    pub(super) tokens: Vec<(String, Secret)>,
    /// The rules.
    pub(super) rules: Vec<Rule>,
    /// Tokens that rules name and the file does not have, each with what to say unless the token is from elsewhere.
    pub(super) foreign_tokens: Vec<(String, Failure)>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence with the line.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let source = TomlFile::open(path)?;
        let options = Options::of::<Serve>(NOT_IN_A_FILE, &[]);
        let mut file = Self::default();
        let mut named = Vec::new();
        for (key, value) in source.table()?.get_ref() {
            match key.get_ref().as_ref() {
                "tokens" => file.tokens = tokens(&source, value)?,
                "rules" => (file.rules, named) = rules(&source, value)?,
                name => file.options.push(source.option(&options, name, &key.span(), value)?),
            }
        }
        file.options.sort_by_key(|setting| setting.line);
        named.retain(|(name, _)| file.tokens.iter().all(|(known, _)| known != name));
        file.foreign_tokens = named
            .into_iter()
            .map(|(name, at)| {
                let text = format!("a rule names the token {name}, which does not exist; add it to [tokens], or correct its name");
                let failure = source.wrong(&at, &text);
                (name, failure)
            })
            .collect();
        Ok(file)
    }
}

fn tokens(source: &TomlFile, value: &Value<'_>) -> Result<Vec<(String, Secret)>, Failure> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "`tokens` is a table of names and tokens"));
    };
    let mut tokens: Vec<(String, Secret)> = Vec::new();
    for (name, value) in table {
        let name = name.get_ref().to_string();
        let wrong = |what: String| source.wrong(&value.span(), &what);
        let text = source.string(value)?;
        // The token itself is not for the terminal.
        let secret = Secret::new(text.as_bytes())
            .map_err(|error| wrong(format!("the token `{name}` is none: {error}")))?;
        if let Some((other, _)) = tokens.iter().find(|(_, known)| *known == secret) {
            return Err(wrong(format!("the tokens {other} and {name} are the same; change one of them")));
        }
        tokens.push((name, secret));
    }
    Ok(tokens)
}

/// A token that a rule names, and where.
type Named = (String, Range<usize>);

fn rules(source: &TomlFile, value: &Value<'_>) -> Result<(Vec<Rule>, Vec<Named>), Failure> {
    let DeValue::Array(rules) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "rules are written as [[rules]]"));
    };
    let mut named = Vec::new();
    let rules = rules.iter().map(|value| rule(source, value, &mut named)).collect::<Result<_, _>>()?;
    Ok((rules, named))
}

fn rule(source: &TomlFile, value: &Value<'_>, named: &mut Vec<Named>) -> Result<Rule, Failure> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "rules are written as [[rules]]"));
    };
    let mut rule = Rule::default();
    for (key, value) in table {
        let strings = || source.strings(value);
        match key.get_ref().as_ref() {
            "tokens" => {
                let tokens = strings()?;
                if let DeValue::Array(values) = value.get_ref() {
                    named.extend(tokens.iter().cloned().zip(values.iter().map(Spanned::span)));
                }
                rule.tokens = Some(tokens);
            }
            "register" => rule.register = strings()?,
            "expose" => rule.expose = strings()?,
            "open" => rule.open = strings()?,
            other => {
                let text = format!("a rule has tokens, register, expose and open, but no `{other}`");
                return Err(source.wrong(&key.span(), &text));
            }
        }
    }
    Ok(rule)
}
