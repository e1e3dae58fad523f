//! Names -> peers.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::net::TcpStream;

use super::{peer::Peer, refusal::Refusal};
use crate::{net::has_ended, wire::Name};

/// Enough that the workers of a large machine seldom meet in one shard, few enough that empty ones cost nothing.
const SHARDS: usize = 16;

/// Who holds which name. The hash is keyed at random, since names are chosen by strangers.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [RwLock<HashSet<ByName>>; SHARDS],
    hash: RandomState,
}

/// Why a name is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It stays with its holder.
    Taken,
    /// Whoever asked has gone, and a holder is not to make way for nobody.
    Gone,
}

impl Denied {
    /// For the client and the log.
    pub(super) fn refusal(self, name: Name) -> Refusal {
        match self {
            Self::Taken => Refusal::Taken(name),
            Self::Gone => Refusal::Gone(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Whether a holder of the same owner makes way for whoever asks on `stream`. A relay that was paused finds the attempts that a client
/// gave up meanwhile beside the one that it waits on.
pub(super) fn makes_way(if_free: bool, stream: &TcpStream) -> Result<(), Denied> {
    if if_free {
        Err(Denied::Taken)
    } else if has_ended(stream) {
        Err(Denied::Gone)
    } else {
        Ok(())
    }
}

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

    /// Registers the peer under its name. A holder of the same owner makes way in the same moment and is given back, to be ended, unless the
    /// name is asked for only if it is free; any other keeps the name.
    pub(super) fn insert(&self, peer: &Arc<Peer>, if_free: bool) -> Result<Option<Arc<Peer>>, Denied> {
        let name = peer.name().as_bytes();
        let mut shard = self.write(name);
        if let Some(holder) = shard.get(name) {
            if !holder.0.has_owner_of(peer) {
                return Err(Denied::Taken);
            }
            makes_way(if_free, peer.stream())?;
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
