//! Names and who holds them: one shard of a registry, behind a lock that the driver owns.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{BuildHasher, Hash, Hasher},
};

use crate::mutation::{self, Mutation};

/// Who holds a name, as a cheap reference. Two are equal if they are the same registration, not if they have the same name.
pub trait Holder: Clone + Eq {
    /// The name.
    fn name(&self) -> &[u8];

    /// Whether both were registered by the same owner, which only a key can show.
    fn has_owner_of(&self, other: &Self) -> bool;
}

/// Names and their holders.
#[derive(Debug)]
pub struct Names<H, S> {
    holders: HashSet<ByName<H>, S>,
}

/// Why a name is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It stays with its holder.
    Taken,
    /// Whoever asked has gone, and a holder is not to make way for nobody.
    Gone,
}

/// How a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Also from a holder of the same owner.
    TakeOver,
    /// Only if nobody has it, not even the same owner.
    IfFree,
}

impl Claim {
    /// The claim of a hello that has `if_free`, or not.
    pub fn new(if_free: bool) -> Self {
        if if_free { Self::IfFree } else { Self::TakeOver }
    }

    /// Whether the holder of a name makes way. See [`Names::register`].
    ///
    /// # Errors
    /// It does not.
    pub fn judge(self, is_same_owner: bool, has_gone: impl FnOnce() -> bool) -> Result<(), Denied> {
        if self == Self::IfFree || !is_same_owner {
            return Err(Denied::Taken);
        }
        if has_gone() && !mutation::is_on(Mutation::GoneClientWins) {
            return Err(Denied::Gone);
        }
        Ok(())
    }
}

impl<H: Holder, S: BuildHasher + Default> Default for Names<H, S> {
    fn default() -> Self {
        Self { holders: HashSet::default() }
    }
}

impl<H: Holder, S: BuildHasher> Names<H, S> {
    /// Names that are found by this hash.
    pub fn with_hasher(hasher: S) -> Self {
        Self { holders: HashSet::with_hasher(hasher) }
    }

    /// Registers `newcomer` under its name. A holder of the same owner makes way in the same moment and is given back, to be ended; any other
    /// keeps the name. `has_gone` says whether the newcomer's client has ended its connection already: a driver that was paused finds the
    /// attempts that a client gave up meanwhile beside the one that the client waits on.
    ///
    /// # Errors
    /// [`Denied`] says why the newcomer does not get the name.
    pub fn register(
        &mut self,
        newcomer: &H,
        claim: Claim,
        has_gone: impl FnOnce() -> bool,
    ) -> Result<Option<H>, Denied> {
        if let Some(holder) = self.get(newcomer.name()) {
            claim.judge(holder.has_owner_of(newcomer), has_gone)?;
        }
        Ok(self.holders.replace(ByName(newcomer.clone())).map(|earlier| earlier.0))
    }

    /// The holder of `name`.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&H> {
        self.holders.get(name).map(|holder| &holder.0)
    }

    /// Frees the holder's name, unless somebody else has it by now.
    pub fn remove(&mut self, holder: &H) {
        if self.get(holder.name()).is_some_and(|current| current == holder) {
            self.holders.remove(holder.name());
        }
    }

    /// All holders.
    pub fn holders(&self) -> impl Iterator<Item = &H> {
        self.holders.iter().map(|holder| &holder.0)
    }
}

/// A holder that is found by its name, which is stored once, in the holder.
#[derive(Debug)]
struct ByName<H>(H);

impl<H: Holder> Borrow<[u8]> for ByName<H> {
    fn borrow(&self) -> &[u8] {
        self.0.name()
    }
}

impl<H: Holder> Hash for ByName<H> {
    fn hash<T: Hasher>(&self, state: &mut T) {
        // The same as the hash of the borrowed form, which the set requires.
        Hash::hash(self.0.name(), state);
    }
}

impl<H: Holder> PartialEq for ByName<H> {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl<H: Holder> Eq for ByName<H> {}

#[cfg(test)]
mod tests {
    use std::{collections::hash_map::RandomState, rc::Rc};

    use super::*;

    #[derive(Debug, Clone)]
    struct Client(Rc<(&'static str, Option<u8>)>);

    impl PartialEq for Client {
        fn eq(&self, other: &Self) -> bool {
            Rc::ptr_eq(&self.0, &other.0)
        }
    }

    impl Eq for Client {}

    impl Holder for Client {
        fn name(&self) -> &[u8] {
            self.0.0.as_bytes()
        }

        fn has_owner_of(&self, other: &Self) -> bool {
            self.0.1.is_some() && self.0.1 == other.0.1
        }
    }

    fn client(name: &'static str, owner: Option<u8>) -> Client {
        Client(Rc::new((name, owner)))
    }

    #[test]
    fn only_the_same_owner_takes_a_name_over_and_only_while_it_is_there() {
        let mut names: Names<Client, RandomState> = Names::default();
        let mut register = |newcomer: &Client, claim, gone| names.register(newcomer, claim, || gone);
        let first = client("a", Some(1));
        assert_eq!(register(&first, Claim::IfFree, true), Ok(None), "who is gone may have what nobody has");
        for stranger in [client("a", None), client("a", Some(2))] {
            assert_eq!(register(&stranger, Claim::TakeOver, false), Err(Denied::Taken));
        }
        let second = client("a", Some(1));
        assert_eq!(register(&second, Claim::TakeOver, true), Err(Denied::Gone));
        assert_eq!(register(&second, Claim::IfFree, false), Err(Denied::Taken));
        assert_eq!(register(&second, Claim::TakeOver, false), Ok(Some(first.clone())));
        names.remove(&first);
        assert_eq!(names.get(b"a"), Some(&second), "somebody else has it by now");
        names.remove(&second);
        assert_eq!(names.get(b"a"), None);
        assert_eq!(names.holders().count(), 0);
    }
}
