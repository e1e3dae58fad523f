//! Names -> peers.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::peer::Peer;

/// Enough that the workers of a large machine seldom meet in one shard, few enough that empty ones cost nothing.
const SHARDS: usize = 16;

/// Who holds which name. The hash is keyed at random, since names are chosen by strangers.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [RwLock<HashSet<ByName>>; SHARDS],
    hash: RandomState,
}

/// The name has a holder who is a stranger.
#[derive(Debug)]
pub(super) struct Taken;

/// A peer that is found by its name, which is stored once, in the peer.
#[derive(Debug)]
struct ByName(Arc<Peer>);

impl Borrow<[u8]> for ByName {
    fn borrow(&self) -> &[u8] {
        self.0.name().as_bytes()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The same as the hash of the borrowed form, which the set requires.
        Hash::hash(self.0.name().as_bytes(), state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

impl Registry {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), hash: RandomState::new() }
    }

    /// Registers the peer under its name. A holder of the same owner makes way in the same moment and is given back, to be ended; any
    /// other keeps the name.
    pub(super) fn insert(&self, peer: &Arc<Peer>) -> Result<Option<Arc<Peer>>, Taken> {
        let name = peer.name().as_bytes();
        let mut shard = self.write(name);
        if shard.get(name).is_some_and(|holder| !holder.0.has_owner_of(peer)) {
            return Err(Taken);
        }
        Ok(shard.replace(ByName(Arc::clone(peer))).map(|holder| holder.0))
    }

    /// The holder of `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Peer>> {
        self.read(name).get(name).map(|holder| Arc::clone(&holder.0))
    }

    /// Frees the peer's name, unless somebody else has it by now.
    pub(super) fn remove(&self, peer: &Arc<Peer>) {
        let name = peer.name().as_bytes();
        let mut shard = self.write(name);
        if shard.get(name).is_some_and(|holder| Arc::ptr_eq(&holder.0, peer)) {
            shard.remove(name);
        }
    }

    /// Visits every peer. No registration happens in the visited shard meanwhile, so `visit` has to be quick.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Arc<Peer>)) {
        for shard in &self.shards {
            shard.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|holder| visit(&holder.0));
        }
    }

    fn shard(&self, name: &[u8]) -> &RwLock<HashSet<ByName>> {
        &self.shards[self.hash.hash_one(name) as usize % SHARDS]
    }

    fn read(&self, name: &[u8]) -> RwLockReadGuard<'_, HashSet<ByName>> {
        self.shard(name).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &[u8]) -> RwLockWriteGuard<'_, HashSet<ByName>> {
        self.shard(name).write().unwrap_or_else(PoisonError::into_inner)
    }
}
