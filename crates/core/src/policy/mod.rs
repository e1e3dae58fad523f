//! Who may do what: tokens, rules, addresses and limits, in one place. No socket and no clock.
//!
//! A [`Policy`] never changes. A reload puts another one in its place, and everyone who asks from then on asks that one: whoever holds
//! an [`Identity`] of an earlier policy has the rights that the current one gives it, which may be none.

mod limits;
mod range;
mod rule;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

pub use self::{
    limits::Limits,
    range::{AddressRange, BadRange},
    rule::{Action, Rule},
};
use crate::wire::Secret;

/// What a relay allows. The default is a relay that everybody may use without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    tokens: Vec<Arc<Token>>,
    rules: Vec<Rule>,
    /// Whose connections are taken; everybody's if empty.
    pub allow: Vec<AddressRange>,
    /// Whose connections are not taken, even if `allow` has them.
    pub deny: Vec<AddressRange>,
    /// Let version 1 in although it cannot prove a token.
    pub allow_v1: bool,
    /// How much of everything.
    pub limits: Limits,
}

/// A secret that lets in whoever has it, under a name for rules and the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    name: String,
    secret: Secret,
}

/// What a connection has proved.
#[derive(Debug, Clone, Default)]
pub enum Identity {
    /// Version 1, which can prove nothing.
    Version1,
    /// Version 2, of which no token was asked.
    #[default]
    Anybody,
    /// Version 2, with a token.
    Token(Arc<Token>),
}

/// Why a policy makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Two tokens with one secret, so that nobody could tell who came.
    #[error("the tokens {0} and {1} are the same")]
    SameSecret(String, String),
    /// A rule for a token that does not exist.
    #[error("a rule names the token {0}, which does not exist")]
    UnknownToken(String),
}

impl Policy {
    /// A policy of these tokens, each with a name of its own, and rules.
    ///
    /// # Errors
    /// [`PolicyError`] says what contradicts what.
    pub fn new(
        tokens: impl IntoIterator<Item = (String, Secret)>,
        rules: Vec<Rule>,
    ) -> Result<Self, PolicyError> {
        let tokens: Vec<Arc<Token>> =
            tokens.into_iter().map(|(name, secret)| Arc::new(Token { name, secret })).collect();
        for (at, token) in tokens.iter().enumerate() {
            if let Some(same) = tokens[..at].iter().find(|other| other.secret == token.secret) {
                return Err(PolicyError::SameSecret(same.name.clone(), token.name.clone()));
            }
        }
        let known: BTreeSet<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
        let named = rules.iter().flat_map(|rule| rule.tokens.iter().flatten());
        if let Some(unknown) = named.into_iter().find(|name| !known.contains(name.as_str())) {
            return Err(PolicyError::UnknownToken(unknown.clone()));
        }
        Ok(Self { tokens, rules, ..Self::default() })
    }

    /// Whether a connection from this address is taken at all.
    pub fn admits(&self, ip: IpAddr) -> bool {
        // A socket for both families shows IPv4 addresses mapped into IPv6.
        let ip = ip.to_canonical();
        let is_in = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(ip));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }

    /// Whether version 2 has to prove a token.
    pub fn wants_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// The names of the tokens.
    pub fn token_names(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.name.as_str())
    }

    /// The names of the tokens that are short enough to be guessed.
    pub fn short_tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter(|token| token.secret.is_short()).map(|token| token.name.as_str())
    }

    /// Who gave `answer` to `challenge` for `hello`; `None` if no token makes this answer. Every token is tried in any case, so that the
    /// time tells nothing.
    pub fn identify(&self, challenge: &str, hello: &[u8], answer: &str) -> Option<Identity> {
        let prove = |token: &&Arc<Token>| token.secret.proves(challenge, hello, answer);
        let proved: Vec<_> = self.tokens.iter().filter(prove).collect();
        proved.first().map(|token| Identity::Token(Arc::clone(token)))
    }

    /// Whether it is let in and may do this to the name. To be asked at every hello and each time the name is used: what was allowed
    /// before a reload need not be after it.
    pub fn may(&self, identity: &Identity, action: Action, name: &[u8]) -> bool {
        let token = match identity {
            Identity::Token(token) => Some(token.name.as_str()),
            _ => None,
        };
        let allowed =
            || self.rules.is_empty() || self.rules.iter().any(|rule| rule.allows(token, action, name));
        self.lets_in(identity) && allowed()
    }

    /// Whether what it has proved is still enough.
    pub fn lets_in(&self, identity: &Identity) -> bool {
        if self.tokens.is_empty() {
            return true;
        }
        match identity {
            Identity::Version1 => self.allow_v1,
            Identity::Anybody => false,
            // A token that was given another secret, or taken away, counts no more.
            Identity::Token(token) => self.tokens.contains(token),
        }
    }
}

impl Identity {
    /// The name of the token, for the log.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(&token.name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    fn policy(tokens: &[(&str, &str)], rules: Vec<Rule>) -> Policy {
        Policy::new(tokens.iter().map(|(name, text)| ((*name).to_owned(), secret(text))), rules).unwrap()
    }

    fn identity(policy: &Policy, token: &str) -> Identity {
        let answer = secret(token).answer("nonce", b"hello");
        policy.identify("nonce", b"hello", &answer).unwrap()
    }

    fn rule(tokens: Option<&[&str]>, register: &[&str], expose: &[&str], open: &[&str]) -> Rule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rule {
            tokens: tokens.map(owned),
            register: owned(register),
            expose: owned(expose),
            open: owned(open),
        }
    }

    const ACTIONS: [Action; 3] = [Action::Register, Action::Expose, Action::Open];

    #[test]
    fn without_tokens_and_rules_everybody_may_do_everything() {
        let policy = Policy::default();
        assert!(!policy.wants_token());
        for action in ACTIONS {
            assert!(policy.may(&Identity::Anybody, action, b"x"));
            assert!(policy.may(&Identity::Version1, action, b"x"));
        }
    }

    #[test]
    fn with_tokens_only_who_proved_one_may() {
        let mut policy = policy(&[("a", "one"), ("b", "two")], vec![]);
        assert_eq!(identity(&policy, "two").token(), Some("b"));
        assert!(policy.identify("nonce", b"hello", &secret("three").answer("nonce", b"hello")).is_none());
        for action in ACTIONS {
            assert!(policy.may(&identity(&policy, "one"), action, b"x"));
            assert!(!policy.may(&Identity::Anybody, action, b"x"));
            assert!(!policy.may(&Identity::Version1, action, b"x"));
        }
        policy.allow_v1 = true;
        assert!(policy.may(&Identity::Version1, Action::Register, b"x"));
        assert!(!policy.may(&Identity::Anybody, Action::Register, b"x"));
    }

    #[test]
    fn rules_deny_what_they_do_not_name() {
        let rules =
            vec![rule(Some(&["a"]), &["a-*"], &["web"], &[]), rule(None, &[], &[], &["web", "public-?"])];
        let policy = policy(&[("a", "one"), ("b", "two")], rules);
        let (a, b) = (identity(&policy, "one"), identity(&policy, "two"));
        assert!(policy.may(&a, Action::Register, b"a-1"));
        assert!(!policy.may(&a, Action::Register, b"b-1"));
        assert!(!policy.may(&a, Action::Expose, b"a-1"));
        assert!(policy.may(&a, Action::Expose, b"web"));
        assert!(!policy.may(&b, Action::Expose, b"web"));
        assert!(policy.may(&b, Action::Open, b"web"));
        assert!(policy.may(&b, Action::Open, b"public-7"));
        assert!(!policy.may(&b, Action::Open, b"public-77"));
        assert!(!policy.may(&Identity::Anybody, Action::Open, b"web"));
    }

    #[test]
    fn a_token_that_is_gone_or_has_another_secret_counts_no_more() {
        let before = policy(&[("a", "one")], vec![]);
        let a = identity(&before, "one");
        assert!(policy(&[("x", "y"), ("a", "one")], vec![]).may(&a, Action::Open, b"x"));
        assert!(!policy(&[("a", "new")], vec![]).may(&a, Action::Open, b"x"));
        assert!(!policy(&[("b", "one")], vec![]).may(&a, Action::Open, b"x"));
        assert!(Policy::default().may(&a, Action::Open, b"x"));
    }

    #[test]
    fn contradictions_are_found() {
        let new = |tokens: &[(&str, &str)], rules| {
            Policy::new(tokens.iter().map(|(name, text)| ((*name).to_owned(), secret(text))), rules)
        };
        let same = PolicyError::SameSecret("a".into(), "b".into());
        assert_eq!(new(&[("a", "one"), ("b", "one")], vec![]), Err(same));
        let unknown = PolicyError::UnknownToken("c".into());
        assert_eq!(new(&[("a", "one")], vec![rule(Some(&["a", "c"]), &[], &[], &[])]), Err(unknown));
    }

    #[test]
    fn denied_addresses_are_refused_even_if_allowed() {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut policy = Policy { deny: ranges(&["10.1.0.0/16", "2001:db8::/32"]), ..Policy::default() };
        let admits = |policy: &Policy, ip: &str| policy.admits(ip.parse().unwrap());
        assert!(admits(&policy, "10.2.0.1"));
        assert!(!admits(&policy, "10.1.0.1"));
        assert!(!admits(&policy, "::ffff:10.1.0.1"));
        assert!(!admits(&policy, "2001:db8::1"));
        policy.allow = ranges(&["10.0.0.0/8", "::1"]);
        assert!(admits(&policy, "10.2.0.1"));
        assert!(admits(&policy, "::ffff:10.2.0.1"));
        assert!(admits(&policy, "::1"));
        assert!(!admits(&policy, "10.1.0.1"));
        assert!(!admits(&policy, "192.168.0.1"));
        assert!(!admits(&policy, "2001:db9::1"));
    }
}
