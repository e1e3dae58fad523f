//! How a command is given its secrets: in a file or the environment, never on the command line, which every user of the machine can read.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Failure, text::without_mark};
use crate::{
    client::Credentials,
    wire::{SECRET_BYTES_MAX, SECRET_BYTES_SAFE, Secret},
};

/// The variable with the token.
const TOKEN: &str = "RELAY_TOKEN";

/// The variable with the owner's secret.
const OWNER: &str = "RELAY_OWNER";

/// What lets a client in.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    /// File with the token that the relay asks for [env: RELAY_TOKEN, the token itself]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Reads it. Names are not to be taken over with it.
    pub(crate) fn read(&self) -> Result<Credentials, Failure> {
        Ok(Credentials { token: token(self.token_file.as_deref())?, owner: None })
    }
}

/// What a client can prove that has a name of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct CredentialArgs {
    #[command(flatten)]
    token: TokenArgs,

    /// File with a secret of yours; who has it takes over the name at once [env: RELAY_OWNER, the secret itself]
    #[arg(long, value_name = "FILE")]
    owner_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// Reads them.
    pub(crate) fn read(&self) -> Result<Credentials, Failure> {
        let owner = secret("secret", self.owner_file.as_deref(), OWNER)?.or_else(own_secret);
        Ok(Credentials { owner, ..self.token.read()? })
    }

    /// Whether the command line names any.
    pub(crate) fn is_given(&self) -> bool {
        self.token.token_file.is_some() || self.owner_file.is_some()
    }
}

/// A secret for as long as the program runs, so that it takes over its name from a connection that it has lost.
fn own_secret() -> Option<Secret> {
    let mut random = [0; SECRET_BYTES_SAFE];
    getrandom::fill(&mut random).ok()?;
    Secret::new(format!("{:032x}", u128::from_ne_bytes(random)).as_bytes()).ok()
}

/// Whether the environment holds the secret itself in place of this option, which names its file.
pub(super) fn is_in_environment(option: &str) -> bool {
    let variable = match option {
        "token-file" => TOKEN,
        "owner-file" => OWNER,
        _ => return false,
    };
    std::env::var_os(variable).is_some()
}

/// The owner's secret in a file.
pub(super) fn owner_in(file: &Path) -> Result<Option<Secret>, Failure> {
    secret("secret", Some(file), OWNER)
}

/// The token of the file, or else of the environment.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    secret("token", file, TOKEN)
}

fn secret(what: &str, file: Option<&Path>, variable: &str) -> Result<Option<Secret>, Failure> {
    let (bytes, place) = match file {
        Some(path) => {
            let failed = |e| {
                Failure::new(format!("cannot read the {what} in {}: {e}; check the path.", path.display()))
            };
            let mut bytes = Vec::new();
            // Room for white space behind it, and no more: it may be a device without end.
            let limit = 2 * SECRET_BYTES_MAX as u64;
            File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
            let place = path.display().to_string();
            let bytes = without_mark(bytes).map_err(|error| {
                Failure::usage(format!("{place} holds no {what} that can be read: {error}."))
            })?;
            (bytes, place)
        }
        None => match std::env::var_os(variable) {
            Some(value) => (value.into_encoded_bytes(), variable.to_owned()),
            None => return Ok(None),
        },
    };
    let secret = Secret::new(&bytes).map_err(|error| {
        Failure::usage(format!("{place} holds no {what}: {error}; put the {what} there and nothing else."))
    })?;
    Ok(Some(secret))
}
