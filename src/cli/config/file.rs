//! Reading the file. A value goes through the parser of its option, so that the file and the command line take the same and complain
//! alike.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Args, ColorChoice, Command};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::cli::{Failure, text::without_mark};

/// A value and where it stands.
pub(in crate::cli) type Value<'a> = Spanned<DeValue<'a>>;

/// One option.
#[derive(Debug)]
pub(in crate::cli) struct Setting {
    /// Its name, without the dashes.
    pub(in crate::cli) name: String,
    pub(in crate::cli) line: usize,
    /// The words that say the same on the command line.
    pub(in crate::cli) words: Vec<String>,
}

/// The options that a file may have.
pub(in crate::cli) struct Options {
    command: Command,
    excluded: &'static [&'static str],
    context: &'static [&'static str],
}

impl Options {
    /// Those of a command without the `excluded`. With the words of `context` the command line is complete whatever the option.
    pub(in crate::cli) fn of<T: Args>(
        excluded: &'static [&'static str],
        context: &'static [&'static str],
    ) -> Self {
        let command = Command::new("relay").no_binary_name(true).color(ColorChoice::Never);
        Self { command: T::augment_args(command), excluded, context }
    }
}

/// A file while it is read.
#[derive(Debug)]
pub(in crate::cli) struct TomlFile {
    path: PathBuf,
    text: String,
}

impl TomlFile {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence.
    pub(in crate::cli) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let bytes = fs::read(path)
            .map_err(|error| Failure::new(format!("cannot read {shown}: {error}; check the path.")))?;
        let bytes =
            without_mark(bytes).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}.")))?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!("cannot read {shown}: it is not UTF-8; save it as UTF-8."))
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// What is in it.
    ///
    /// # Errors
    /// It is not TOML: a sentence with the line.
    pub(in crate::cli) fn table(&self) -> Result<Spanned<DeTable<'_>>, Failure> {
        DeTable::parse(&self.text)
            .map_err(|error| self.wrong(&error.span().unwrap_or_default(), error.message()))
    }

    /// The option `name`, which stands at `at`.
    ///
    /// # Errors
    /// There is no such option, or it does not take the value: a sentence with the line.
    pub(in crate::cli) fn option(
        &self,
        options: &Options,
        name: &str,
        at: &Range<usize>,
        value: &Value<'_>,
    ) -> Result<Setting, Failure> {
        let known = options.command.get_arguments().find(|argument| argument.get_long() == Some(name));
        let Some(argument) = known.filter(|_| !options.excluded.contains(&name)) else {
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
        let line = words.iter().map(String::as_str).chain(options.context.iter().copied());
        if let Err(error) = options.command.clone().try_get_matches_from(line) {
            let text = error.to_string();
            // The first line says what is wrong; the rest is about command lines.
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(self.wrong(&value.span(), first));
        }
        Ok(Setting { name: name.to_owned(), line: self.line(at), words })
    }

    /// The texts of an array.
    ///
    /// # Errors
    /// It is something else.
    pub(in crate::cli) fn strings(&self, value: &Value<'_>) -> Result<Vec<String>, Failure> {
        match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| self.string(value)).collect(),
            _ => Err(self.wrong(&value.span(), "here goes a list of texts such as [\"…\"]")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// It is something else.
    pub(in crate::cli) fn string(&self, value: &Value<'_>) -> Result<String, Failure> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.wrong(&value.span(), "here goes a text such as \"…\"")),
        }
    }

    /// The line in which a place is.
    pub(in crate::cli) fn line(&self, at: &Range<usize>) -> usize {
        self.text.as_bytes().iter().take(at.start).filter(|byte| **byte == b'\n').count() + 1
    }

    /// A sentence about what is wrong at a place.
    pub(in crate::cli) fn wrong(&self, at: &Range<usize>, what: &str) -> Failure {
        let (path, line) = (self.path.display(), self.line(at));
        Failure::usage(format!("{path}, line {line}: {}.", what.trim_end_matches('.')))
    }
}
