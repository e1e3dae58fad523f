//! The relay's TOML file: every option of `relay serve` under its own name, the tokens, and the rules.

use std::{borrow::Cow, path::Path};

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
        for (key, value) in source.table()?.get_ref() {
            match key.get_ref().as_ref() {
                "tokens" => file.tokens = tokens(&source, value)?,
                "rules" => file.rules = rules(&source, value)?,
                name => file.options.push(source.option(&options, name, &key.span(), value)?),
            }
        }
        file.options.sort_by_key(|setting| setting.line);
        Ok(file)
    }
}

fn tokens(source: &TomlFile, value: &Value<'_>) -> Result<Vec<(String, Secret)>, Failure> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "`tokens` is a table of names and tokens"));
    };
    let token = |(name, value): (&Spanned<Cow<'_, str>>, &Value<'_>)| {
        let name = name.get_ref().to_string();
        let text = source.string(value)?;
        // The token itself is not for the terminal.
        let secret = Secret::new(text.as_bytes())
            .map_err(|error| source.wrong(&value.span(), &format!("the token `{name}` is none: {error}")))?;
        Ok((name, secret))
    };
    table.iter().map(token).collect()
}

fn rules(source: &TomlFile, value: &Value<'_>) -> Result<Vec<Rule>, Failure> {
    let DeValue::Array(rules) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "rules are written as [[rules]]"));
    };
    rules.iter().map(|value| rule(source, value)).collect()
}

fn rule(source: &TomlFile, value: &Value<'_>) -> Result<Rule, Failure> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(source.wrong(&value.span(), "rules are written as [[rules]]"));
    };
    let mut rule = Rule::default();
    for (key, value) in table {
        let strings = || source.strings(value);
        match key.get_ref().as_ref() {
            "tokens" => rule.tokens = Some(strings()?),
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
