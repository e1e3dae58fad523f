//! The control session of a service: it answers pings, asks for connections to be parked, and takes the service with it when it ends.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use name_relay_core::registry::Claim;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    Exposer, Service,
    key::Key,
    public_port,
    service::{Bounds, WAITING_MAX},
    visitor::write_now,
};
use crate::{
    net::reset,
    relay::{
        Action, CloseReason, Shared,
        connection::closing,
        refusal::{Refusal, discard_until_end, refuse},
    },
    task::task,
    wire::{
        BadControl, CONTROL_BYTES_MAX, Decoder, ErrorCode, ErrorNotice, Exposed, FromClient, FromRelay,
        PROTOCOL_VERSION, TextName, encode_control,
    },
};

/// Read at once: pings are a few bytes.
const READ_BYTES: usize = 512;

/// What an exposer asks for.
#[derive(Debug)]
pub(in crate::relay) struct Expose {
    pub(in crate::relay) name: TextName,
    /// Also on this public port; 0: any.
    pub(in crate::relay) port: Option<u16>,
    /// The name is to stay with a holder of the same owner.
    pub(in crate::relay) if_free: bool,
}

/// Serves the control session of a service to its end.
pub(in crate::relay) async fn expose(
    shared: &Arc<Shared>,
    stream: TcpStream,
    exposer: Exposer,
    wanted: Expose,
    received: &[u8],
) {
    let address = exposer.address;
    let (service, listener) = match establish(shared, exposer, &wanted, &stream).await {
        Ok(established) => established,
        Err(refusal) => return refuse(shared, refusal, Some(stream), address, true).await,
    };
    let port =
        listener.as_ref().and_then(|listener| listener.local_addr().ok()).map(|address| address.port());
    info!(service = %service.name(), %address, port, token = service.exposer().identity.token(), "exposed");
    shared.counters.exposed.fetch_add(1, Relaxed);
    if shared.is_stopping() {
        service.end(CloseReason::Shutdown);
    }
    let mut accepting = JoinSet::new();
    if let Some(listener) = listener {
        accepting.spawn(task(public_port::accept(Arc::clone(shared), Arc::clone(&service), listener)));
    }
    let mut session = Control {
        shared,
        service: &service,
        stream,
        decoder: Decoder::new(CONTROL_BYTES_MAX),
        is_cut: false,
    };
    let ending = match session.run(port, received).await {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    // First the port and the name, so that whoever takes them over finds them free.
    accepting.shutdown().await;
    shared.services.remove(&service);
    service.release();
    if ending.is_fault() {
        warn!(service = %service.name(), %address, reason = %ending, "no longer exposed");
    } else {
        info!(service = %service.name(), %address, reason = %ending, "no longer exposed");
    }
    service.close(ending);
    let _ = timeout(shared.config.drain_timeout, session.farewell(ending)).await;
}

/// Takes the name and the port, from an earlier service of the same owner if there is one.
async fn establish(
    shared: &Shared,
    exposer: Exposer,
    wanted: &Expose,
    stream: &TcpStream,
) -> Result<(Arc<Service>, Option<TcpListener>), Refusal> {
    let policy = shared.policy();
    if !policy.may(&exposer.identity, Action::Expose, wanted.name.as_bytes()) {
        return Err(Refusal::NotAllowed(wanted.name.clone().into()));
    }
    let streams = policy.limits.streams_per_service_max.map_or(usize::MAX, |max| max.get() as usize);
    let key = Key::random().map_err(|_| Refusal::NoRandomness)?;
    let bounds = Bounds { streams, waiting: WAITING_MAX };
    let service = Arc::new(Service::new(wanted.name.clone(), exposer, key, bounds));
    let inserted = shared.services.insert(&service, Claim::new(wanted.if_free), stream);
    let earlier = inserted.map_err(|denied| Refusal::denied(denied, wanted.name.clone().into()))?;
    if let Some(earlier) = earlier {
        earlier.end(CloseReason::Replaced);
        if wanted.port.is_some() {
            // Its control session may be in the middle of writing to a connection that is lost.
            let _ = timeout(shared.config.write_timeout, earlier.released()).await;
        }
    }
    // A policy that came since it was asked has already looked at every service it found.
    shared.check_service(&service, &shared.policy());
    match wanted.port.map(|port| public_port::listen(shared, port)).transpose() {
        Ok(listener) => Ok((service, listener)),
        Err(refusal) => {
            shared.services.remove(&service);
            // Another may have taken the name over by now, and wait for this.
            service.release();
            service.close(CloseReason::Finished);
            Err(refusal)
        }
    }
}

struct Control<'a> {
    shared: &'a Arc<Shared>,
    service: &'a Service,
    stream: TcpStream,
    decoder: Decoder,
    /// A frame was begun and not written to its end.
    is_cut: bool,
}

enum Never {}

impl Control<'_> {
    async fn run(&mut self, port: Option<u16>, received: &[u8]) -> Result<Never, CloseReason> {
        let exposed = Exposed {
            hello: PROTOCOL_VERSION,
            exposed: self.service.name().clone(),
            key: self.service.key().text(),
            idle_ms: self.shared.config.idle_ms(),
            port,
        };
        let mut answer = Vec::new();
        encode_control(&mut answer, &exposed);
        self.write(&answer).await?;
        self.decoder.feed(received);
        self.obey().await?;
        let mut silent_until = Instant::now() + self.shared.config.idle_timeout;
        loop {
            if let Some(ending) = self.service.ending() {
                return Err(ending);
            }
            if let Some(waiting) = self.service.unasked() {
                self.ask(waiting).await?;
            }
            tokio::select! {
                // What has come counts before a deadline: a relay that was paused finds both.
                biased;
                ready = self.stream.readable() => {
                    ready?;
                    if self.receive()? {
                        self.service.hear();
                        silent_until = Instant::now() + self.shared.config.idle_timeout;
                        self.obey().await?;
                    }
                }
                () = self.service.changed() => {}
                () = sleep_until(silent_until) => return Err(CloseReason::Idle),
            }
        }
    }

    /// Asks for as many connections as visitors wait.
    async fn ask(&mut self, waiting: usize) -> Result<(), CloseReason> {
        let mut frame = Vec::new();
        encode_control(&mut frame, &FromRelay::Wanted(u32::try_from(waiting).unwrap_or(u32::MAX)));
        self.write(&frame).await
    }

    /// Whether anything came.
    fn receive(&mut self) -> Result<bool, CloseReason> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(CloseReason::Finished),
            Ok(n) => {
                self.decoder.feed(&buffer[..n]);
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn obey(&mut self) -> Result<(), CloseReason> {
        while let Some(frame) = self.decoder.next_frame()? {
            if !frame.sender.is_empty() {
                return Err(BadControl::Message.into());
            }
            let answer = match FromClient::parse(&frame.payload)? {
                Some(FromClient::Ping(number)) => FromRelay::Pong(number),
                Some(FromClient::Unpark(count)) => {
                    self.service.unpark(count);
                    continue;
                }
                None => FromRelay::Error(ErrorNotice {
                    code: ErrorCode::UnknownVerb,
                    message: "this relay does not know the verb; the session goes on".to_owned(),
                }),
            };
            let mut bytes = Vec::new();
            encode_control(&mut bytes, &answer);
            self.write(&bytes).await?;
        }
        Ok(())
    }

    /// Writes a few bytes; an exposer that does not read them is gone. If the session is to end, that does not wait for them.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        self.is_cut = true;
        tokio::select! {
            biased;
            written = timeout(self.shared.config.write_timeout, self.stream.write_all(bytes)) => {
                written.map_err(|_| CloseReason::SlowConsumer)??;
                self.is_cut = false;
                Ok(())
            }
            ending = self.service.to_end() => Err(ending),
        }
    }

    /// Says why the session ends, where there is somebody to hear it: not behind half a frame, nor to an exposer that has left no room.
    async fn farewell(mut self, ending: CloseReason) -> std::io::Result<()> {
        let Some(message) = closing(ending) else { return Ok(()) };
        let mut bytes = Vec::new();
        encode_control(&mut bytes, &message);
        if self.is_cut || write_now(&self.stream, &bytes).is_err() {
            reset(&self.stream);
            return Ok(());
        }
        self.stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the words with it.
        discard_until_end(&self.stream).await
    }
}
