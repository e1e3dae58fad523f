//! Names -> peers.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use name_relay_core::registry::{Claim, Denied, Names};

use super::peer::PeerRef;

/// Enough that the workers of a large machine seldom meet in one shard, few enough that empty ones cost nothing.
const SHARDS: usize = 16;

type Shard = Names<PeerRef, RandomState>;

/// Who holds which name. The hash is keyed at random, since names are chosen by strangers.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    hash: RandomState,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), hash: RandomState::new() }
    }

    /// See [`Names::register`].
    ///
    /// # Errors
    /// The peer does not get the name.
    pub(super) fn insert(
        &self,
        peer: &PeerRef,
        claim: Claim,
        has_gone: impl FnOnce() -> bool,
    ) -> Result<Option<PeerRef>, Denied> {
        self.write(peer.name().as_bytes()).register(peer, claim, has_gone)
    }

    /// The holder of `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<PeerRef> {
        self.read(name).get(name).cloned()
    }

    /// Frees the peer's name, unless somebody else has it by now.
    pub(super) fn remove(&self, peer: &PeerRef) {
        self.write(peer.name().as_bytes()).remove(peer);
    }

    /// Visits every peer. No registration happens in the visited shard meanwhile, so `visit` has to be quick.
    pub(super) fn for_each(&self, visit: impl FnMut(&PeerRef)) {
        let mut visit = visit;
        for shard in &self.shards {
            shard.read().unwrap_or_else(PoisonError::into_inner).holders().for_each(&mut visit);
        }
    }

    fn shard(&self, name: &[u8]) -> &RwLock<Shard> {
        &self.shards[self.hash.hash_one(name) as usize % SHARDS]
    }

    fn read(&self, name: &[u8]) -> RwLockReadGuard<'_, Shard> {
        self.shard(name).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &[u8]) -> RwLockWriteGuard<'_, Shard> {
        self.shard(name).write().unwrap_or_else(PoisonError::into_inner)
    }
}
