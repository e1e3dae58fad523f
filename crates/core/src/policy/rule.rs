//! Which names a token may use, and for what.

/// What is done to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Taking it for messages.
    Register,
    /// Taking it for a service.
    Expose,
    /// Making a connection to the service.
    Open,
}

/// Allows something; whatever no rule allows is refused. Names are patterns in which `*` stands for any bytes and `?` for any one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The names of the tokens it is for; `None`: for everybody who is let in.
    pub tokens: Option<Vec<String>>,
    /// Names they may register.
    pub register: Vec<String>,
    /// Names they may expose.
    pub expose: Vec<String>,
    /// Names they may open.
    pub open: Vec<String>,
}

impl Rule {
    /// Whether whoever has this token, or none, may do this to the name.
    pub fn allows(&self, token: Option<&str>, action: Action, name: &[u8]) -> bool {
        let is_for = match (&self.tokens, token) {
            (None, _) => true,
            (Some(tokens), Some(token)) => tokens.iter().any(|name| name == token),
            (Some(_), None) => false,
        };
        let patterns = match action {
            Action::Register => &self.register,
            Action::Expose => &self.expose,
            Action::Open => &self.open,
        };
        is_for && patterns.iter().any(|pattern| matches(pattern.as_bytes(), name))
    }
}

/// Whether the whole name fits the pattern, in at most pattern times name steps: only the last `*` is ever tried again.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when something does not fit: behind the last `*`, with one more byte for it.
    let mut again = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p + 1, n));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((behind, taken)) = again else { return false };
                again = Some((behind, taken + 1));
                (p, n) = (behind, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_for_the_whole_name() {
        for (pattern, name, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("web", "web", true),
            ("web", "webs", false),
            ("web", "we", false),
            ("web-*", "web-", true),
            ("web-*", "web", false),
            ("*-web", "a-web-web", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        assert!(matches(b"a?*", b"a\xff\x00"));
    }

    /// The definition, which takes exponential time.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            ([b'*', rest @ ..], name) => (0..=name.len()).any(|n| slowly(rest, &name[n..])),
            ([p, rest @ ..], [n, behind @ ..]) => (*p == b'?' || p == n) && slowly(rest, behind),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_what_their_definition_says(pattern in "[ab?*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
