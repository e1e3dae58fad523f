//! What a client of messages asks a relay for, as often as it has to.

use std::time::Duration;

use tokio::time::sleep;

use super::{Claim, Credentials, Link, LinkError, Mode};
use crate::{net::Target, wire::TextName};

/// Which name at which relay, and how.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The relay.
    pub relay: Target,
    /// The name to be reached under.
    pub name: TextName,
    /// What is spoken.
    pub mode: Mode,
    /// How long connecting and the relay's answer may take, each.
    pub connect_timeout: Duration,
    /// What is proved to the relay.
    pub credentials: Credentials,
}

impl Registration {
    /// Connects and registers.
    ///
    /// # Errors
    /// No connection, or the relay's refusal.
    pub async fn open(&self, claim: &mut Claim) -> Result<Link, LinkError> {
        let link = Link::open(self, claim.if_free()).await?;
        claim.won();
        Ok(link)
    }

    /// Asks for the name again after `error` has ended a link, if a connection of the same owner has taken it.
    ///
    /// # Errors
    /// The name stays with the other connection, or something else is wrong.
    pub async fn reopen(&self, claim: &mut Claim, mut error: LinkError) -> Result<Link, LinkError> {
        loop {
            sleep(claim.ask_again(error)?).await;
            error = match self.open(claim).await {
                Ok(link) => return Ok(link),
                Err(error) => error,
            };
        }
    }
}
