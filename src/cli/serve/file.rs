//! The relay's TOML file: every option of `relay serve` under its own name, the tokens, and the rules.
//!
//! A value goes through the parser of its option, so that the file and the command line take the same and complain alike.

use std::{fs, ops::Range, path::Path};

use clap::{ArgAction, Args, Command};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Serve;
use crate::{cli::Failure, relay::Rule, wire::Secret};

/// Options that make no sense in the file they name.
const NOT_IN_A_FILE: [&str; 2] = ["config", "check"];

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

/// One option.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name, without the dashes.
    pub(super) name: String,
    pub(super) line: usize,
    /// The words that say the same on the command line.
    pub(super) words: Vec<String>,
}

/// The file while it is read.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence with the line.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("cannot read {shown}: {error}; check the path.")))?;
        Reader { path, text: &text }.read()
    }
}

impl Reader<'_> {
    fn read(&self) -> Result<File, Failure> {
        let table = DeTable::parse(self.text)
            .map_err(|error| self.wrong(&error.span().unwrap_or_default(), error.message()))?;
        let mut file = File::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "tokens" => file.tokens = self.tokens(value)?,
                "rules" => file.rules = self.rules(value)?,
                name => file.options.push(self.option(name, &key.span(), value)?),
            }
        }
        file.options.sort_by_key(|setting| setting.line);
        Ok(file)
    }

    fn option(&self, name: &str, at: &Range<usize>, value: &Value<'_>) -> Result<Setting, Failure> {
        let command =
            Serve::augment_args(Command::new("serve").no_binary_name(true).color(clap::ColorChoice::Never));
        let known = command.get_arguments().find(|argument| argument.get_long() == Some(name));
        let Some(argument) = known.filter(|_| !NOT_IN_A_FILE.contains(&name)) else {
            return Err(self.wrong(at, &format!("there is no option `{name}`")));
        };
        let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
        let word = |text: &str| format!("--{name}={text}");
        let words = match value.get_ref() {
            DeValue::Boolean(on) if is_flag => on.then(|| format!("--{name}")).into_iter().collect(),
            _ if is_flag => return Err(self.wrong(&value.span(), &format!("`{name}` is true or false"))),
            DeValue::String(text) => vec![word(text)],
            DeValue::Integer(number) if number.radix() == 10 => vec![word(number.as_str())],
            DeValue::Array(_) if matches!(argument.get_action(), ArgAction::Append) => {
                self.strings(value)?.iter().map(|text| word(text)).collect()
            }
            _ => {
                return Err(
                    self.wrong(&value.span(), &format!("`{name}` is a text such as \"…\" or a number"))
                );
            }
        };
        if let Err(error) = command.try_get_matches_from(&words) {
            let text = error.to_string();
            // The first line says what is wrong; the rest is about command lines.
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(self.wrong(&value.span(), first));
        }
        Ok(Setting { name: name.to_owned(), line: self.line(at), words })
    }

    fn tokens(&self, value: &Value<'_>) -> Result<Vec<(String, Secret)>, Failure> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(&value.span(), "`tokens` is a table of names and tokens"));
        };
        let token = |(name, value): (&Spanned<_>, &Value<'_>)| {
            let name: &str = AsRef::<str>::as_ref(name.get_ref());
            let text = self.string(value)?;
            // The token itself is not for the terminal.
            let secret = Secret::new(text.as_bytes()).map_err(|error| {
                self.wrong(&value.span(), &format!("the token `{name}` is none: {error}"))
            })?;
            Ok((name.to_owned(), secret))
        };
        table
            .iter()
            .map(|(name, value): (&Spanned<std::borrow::Cow<'_, str>>, _)| token((name, value)))
            .collect()
    }

    fn rules(&self, value: &Value<'_>) -> Result<Vec<Rule>, Failure> {
        let DeValue::Array(rules) = value.get_ref() else {
            return Err(self.wrong(&value.span(), "rules are written as [[rules]]"));
        };
        rules.iter().map(|rule| self.rule(rule)).collect()
    }

    fn rule(&self, value: &Value<'_>) -> Result<Rule, Failure> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(&value.span(), "rules are written as [[rules]]"));
        };
        let mut rule = Rule::default();
        for (key, value) in table {
            let strings = || self.strings(value);
            match key.get_ref().as_ref() {
                "tokens" => rule.tokens = Some(strings()?),
                "register" => rule.register = strings()?,
                "expose" => rule.expose = strings()?,
                "open" => rule.open = strings()?,
                other => {
                    let text = format!("a rule has tokens, register, expose and open, but no `{other}`");
                    return Err(self.wrong(&key.span(), &text));
                }
            }
        }
        Ok(rule)
    }

    /// The texts of an array.
    fn strings(&self, value: &Value<'_>) -> Result<Vec<String>, Failure> {
        match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| self.string(value)).collect(),
            _ => Err(self.wrong(&value.span(), "here goes a list of texts such as [\"…\"]")),
        }
    }

    fn string(&self, value: &Value<'_>) -> Result<String, Failure> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.wrong(&value.span(), "here goes a text such as \"…\"")),
        }
    }

    fn line(&self, at: &Range<usize>) -> usize {
        self.text.as_bytes().iter().take(at.start).filter(|byte| **byte == b'\n').count() + 1
    }

    fn wrong(&self, at: &Range<usize>, what: &str) -> Failure {
        Failure::usage(format!(
            "{}, line {}: {}.",
            self.path.display(),
            self.line(at),
            what.trim_end_matches('.')
        ))
    }
}
