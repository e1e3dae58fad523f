//! Services that others are reached by: a control session announces one, parked connections carry its streams.
//!
//! A visitor's way: [`visitor`] (a stream was opened, or a public port was connected to) -> [`Service::offer`] (who takes it) ->
//! [`parked`] (the connection that does) -> [`crate::net::Streams`] (bytes both ways). From there on nothing of the service is needed:
//! streams outlive its control session.

mod control;
mod descriptors;
mod key;
mod parked;
mod public_port;
mod scarcity;
mod service;
#[cfg(test)]
mod tests;
mod visitor;

use std::{
    collections::{HashMap, hash_map::Entry},
    mem::Discriminant,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpStream, time::Instant};

pub use self::public_port::PublicPorts;
pub(super) use self::{
    control::{Expose, expose},
    parked::park,
    service::{Exposer, Service},
    visitor::{Visitor, check, open},
};
use self::{descriptors::Descriptors, scarcity::Scarcity};
use super::refusal::Refusal;
use crate::sparing::Sparing;
use crate::{net::has_ended, wire::TextName};
use name_relay_core::registry::{Claim, Denied};

/// Who exposes which name. Looked at once a stream, never for its bytes.
#[derive(Debug)]
pub(super) struct Services {
    by_name: Mutex<HashMap<TextName, Arc<Service>>>,
    scarcity: Scarcity,
    descriptors: Descriptors,
    /// Which refusals of visitors were written to the log lately.
    refusals: Arc<Sparing<Discriminant<Refusal>>>,
}

impl Services {
    /// None yet. There are so many descriptors for connections.
    pub(super) fn new(descriptors_max: usize) -> Self {
        Self {
            by_name: Mutex::default(),
            scarcity: Scarcity::default(),
            descriptors: Descriptors::new(descriptors_max),
            refusals: Sparing::new(),
        }
    }

    /// Registers the service under its name for whoever asks on `stream`. One of the same owner makes way in the same moment and is given
    /// back, to be ended, unless the name is asked for only if it is free; any other keeps the name.
    fn insert(
        &self,
        service: &Arc<Service>,
        claim: Claim,
        stream: &TcpStream,
    ) -> Result<Option<Arc<Service>>, Denied> {
        match self.lock().entry(service.name().clone()) {
            Entry::Occupied(mut entry) => {
                let is_own = entry.get().exposer().is_owner_of(service.exposer());
                claim.judge(is_own, || has_ended(stream))?;
                Ok(Some(entry.insert(Arc::clone(service))))
            }
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(service));
                Ok(None)
            }
        }
    }

    /// The service of this name.
    fn get(&self, name: &TextName) -> Option<Arc<Service>> {
        self.lock().get(name).cloned()
    }

    /// Frees the service's name, unless somebody else has it by now.
    fn remove(&self, service: &Arc<Service>) {
        if let Entry::Occupied(entry) = self.lock().entry(service.name().clone())
            && Arc::ptr_eq(entry.get(), service)
        {
            entry.remove();
        }
    }

    /// Gives descriptors back where none is left: half of what is parked for each service, and for a while nothing more is parked than
    /// visitors wait for. The other half is for those who are let in with what was given back.
    pub(super) fn relieve(&self) -> bool {
        let given: usize = self.lock().values().map(|service| service.give_up_half()).sum();
        self.scarcity.begin(given);
        given > 0
    }

    /// Whether descriptors have run out lately.
    fn are_scarce(&self) -> bool {
        self.scarcity.is_on()
    }

    /// Whether descriptors have run out since then.
    fn were_scarce_since(&self, since: Instant) -> bool {
        self.scarcity.was_on_since(since)
    }

    /// Visits every service.
    pub(super) fn for_each(&self, visit: impl FnMut(&Arc<Service>)) {
        self.lock().values().for_each(visit);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TextName, Arc<Service>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
