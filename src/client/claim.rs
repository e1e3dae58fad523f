//! Who keeps a name that two connections of the same owner ask for.

use std::time::Duration;

use tokio::time::Instant;

use super::LinkError;
use crate::{net::Backoff, wire::ErrorCode};

/// How often a client that was replaced asks whether the name is free again, and the pauses before: within 4 s in all. A connection that
/// it has given up itself, and that the relay took for a new one, is gone long before.
const ASKS: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MOST: Duration = Duration::from_secs(2);

/// How often in a row the name may be lost within a minute. A relay that does not know the question gives the name to whoever asks: two
/// programs would take it from each other for ever.
const ROUNDS: u32 = 5;
const SOON: Duration = Duration::from_secs(60);

/// A client's claim to a name. It takes the name from a connection of its own that was lost. Once it is told that another connection of
/// the same owner has replaced it, it asks for the name only if it is free: a connection that was lost is gone soon, and another program
/// keeps the name.
#[derive(Debug)]
pub struct Claim {
    /// What the relay said when the name went to another connection.
    replaced: Option<String>,
    asks_left: u32,
    rounds_left: u32,
    held_since: Option<Instant>,
    backoff: Backoff,
}

impl Default for Claim {
    fn default() -> Self {
        Self {
            replaced: None,
            asks_left: 0,
            rounds_left: ROUNDS,
            held_since: None,
            backoff: Backoff::new(PAUSE_FIRST, PAUSE_MOST),
        }
    }
}

impl Claim {
    /// Whether the hello is to leave the name to whoever has it.
    pub fn if_free(&self) -> bool {
        self.replaced.is_some()
    }

    /// The relay has given the name to this client.
    pub fn won(&mut self) {
        self.replaced = None;
        self.held_since = Some(Instant::now());
    }

    /// The pause after which to ask for the name again, where `error` says that another connection of the same owner has it.
    ///
    /// # Errors
    /// The failure as it was, if it is another; that the client was replaced, if the other connection is there to stay.
    pub fn ask_again(&mut self, error: LinkError) -> Result<Duration, LinkError> {
        match error {
            LinkError::Refused { code: ErrorCode::Replaced, message } => {
                if self.held_since.take().is_some_and(|since| since.elapsed() >= SOON) {
                    self.rounds_left = ROUNDS;
                }
                if self.rounds_left == 0 {
                    return Err(LinkError::Refused { code: ErrorCode::Replaced, message });
                }
                self.rounds_left -= 1;
                self.asks_left = ASKS - 1;
                self.backoff.reset();
                self.replaced = Some(message);
            }
            LinkError::Refused { code: ErrorCode::NameTaken, message } => {
                let Some(replaced) = self.replaced.take() else {
                    return Err(LinkError::Refused { code: ErrorCode::NameTaken, message });
                };
                if self.asks_left == 0 {
                    return Err(LinkError::Refused { code: ErrorCode::Replaced, message: replaced });
                }
                self.asks_left -= 1;
                self.replaced = Some(replaced);
            }
            error => return Err(error),
        }
        Ok(self.backoff.wait())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn refused(code: ErrorCode) -> LinkError {
        LinkError::Refused { code, message: String::new() }
    }

    fn code(result: Result<Duration, LinkError>) -> Option<ErrorCode> {
        match result {
            Err(LinkError::Refused { code, .. }) => Some(code),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_alone_has_its_name_again() {
        let mut claim = Claim::default();
        assert!(!claim.if_free(), "it takes the name from a connection that it lost");
        claim.won();
        let pause = claim.ask_again(refused(ErrorCode::Replaced)).unwrap();
        assert!(pause <= PAUSE_FIRST && claim.if_free());
        claim.ask_again(refused(ErrorCode::NameTaken)).unwrap();
        assert!(claim.if_free());
        claim.won();
        assert!(!claim.if_free());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_stays_taken_is_given_up_within_seconds() {
        let mut claim = Claim::default();
        claim.won();
        let mut waited = claim.ask_again(refused(ErrorCode::Replaced)).unwrap();
        for _ in 1..ASKS {
            waited += claim.ask_again(refused(ErrorCode::NameTaken)).unwrap();
        }
        assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(4), "{waited:?}");
        assert_eq!(code(claim.ask_again(refused(ErrorCode::NameTaken))), Some(ErrorCode::Replaced));
    }

    #[tokio::test(start_paused = true)]
    async fn two_programs_do_not_take_the_name_from_each_other_for_ever() {
        let mut claim = Claim::default();
        for _ in 0..ROUNDS {
            claim.won();
            claim.ask_again(refused(ErrorCode::Replaced)).unwrap();
        }
        claim.won();
        assert_eq!(code(claim.ask_again(refused(ErrorCode::Replaced))), Some(ErrorCode::Replaced));
        // Whoever has had the name for long may be replaced as often again.
        claim.won();
        advance(SOON).await;
        claim.ask_again(refused(ErrorCode::Replaced)).unwrap();
    }

    #[test]
    fn other_failures_are_not_its_business() {
        let mut claim = Claim::default();
        assert_eq!(code(claim.ask_again(refused(ErrorCode::NameTaken))), Some(ErrorCode::NameTaken));
        assert!(matches!(claim.ask_again(LinkError::Ended), Err(LinkError::Ended)));
        claim.ask_again(refused(ErrorCode::Replaced)).unwrap();
        assert!(matches!(claim.ask_again(LinkError::NoAnswer), Err(LinkError::NoAnswer)));
        assert!(claim.if_free(), "the question is still open");
    }
}
