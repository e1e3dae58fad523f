//! A connection that waits for a visitor, and the stream it becomes.

use std::{io, mem::MaybeUninit, net::SocketAddr, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{net::TcpStream, sync::oneshot, time::Instant};
use tracing::debug;

use super::{
    Service,
    service::Admitted,
    visitor::{Visitor, enter_again, write_now},
};
use crate::{
    net::Joined,
    relay::{
        Live, Shared,
        refusal::{Refusal, refuse},
    },
    wire::{FromRelay, TextName, encode_control},
};

/// How often exposers say something on their control session at least, or every third of the idle time if that is less.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Parks a connection for a service until a visitor comes, the connection ends or the service does.
pub(in crate::relay) async fn park(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    live: Live,
    (name, key): (TextName, String),
    received: &[u8],
) {
    let service = shared.services.get(&name);
    let parked = match &service {
        None => Err(Refusal::NoSuchService(name)),
        Some(service) if !service.key().is(&key) => Err(Refusal::BadKey(name)),
        // What has something to say already is not waiting.
        Some(_) if !received.is_empty() => Err(Refusal::Spoke),
        Some(service) => {
            let (give, take) = oneshot::channel();
            service.park(give, !shared.services.are_scarce()).map(|waits| {
                if waits {
                    debug!(service = %service.name(), %address, "parked");
                }
                (Arc::clone(service), take)
            })
        }
    };
    match parked {
        Ok((service, take)) => wait(shared, stream, live, service, take).await,
        Err(refusal) => refuse(shared, refusal, Some(stream), address, true).await,
    }
}

async fn wait(
    shared: &Arc<Shared>,
    stream: TcpStream,
    live: Live,
    service: Arc<Service>,
    mut take: oneshot::Receiver<Admitted>,
) {
    let visitor = tokio::select! {
        biased;
        // Without a visitor, the service has ended.
        visitor = &mut take => visitor.ok(),
        () = ended(&stream) => {
            take.close();
            service.forget_gone();
            match take.try_recv() {
                Ok(admitted) => return pass_on(shared, (stream, live), &service, admitted).await,
                Err(_) => None,
            }
        }
    };
    let Some(admitted) = visitor else { return };
    if has_ended(&stream) {
        return pass_on(shared, (stream, live), &service, admitted).await;
    }
    let mut notice = Vec::new();
    encode_control(&mut notice, &FromRelay::Stream(admitted.visitor.notice()));
    if write_now(&stream, &notice).is_err() {
        return pass_on(shared, (stream, live), &service, admitted).await;
    }
    if let Err(error) = admitted.visitor.welcome(service.name()) {
        debug!(address = %admitted.visitor.address, %error, "the visitor left");
        crate::net::reset(&stream);
        return;
    }
    join(shared, stream, live, admitted, service);
}

/// Waits for the end of a connection that has nothing to say before a visitor comes: whatever it says is its end.
async fn ended(stream: &TcpStream) {
    while stream.readable().await.is_ok() {
        // That it is readable may be left over from the hello.
        match stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// The same, asked of the system itself: a visitor may have come in the moment before the end was noticed.
fn has_ended(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Finds another connection for a visitor whose parked one is gone, and lets go of that.
async fn pass_on(shared: &Arc<Shared>, gone: (TcpStream, Live), service: &Arc<Service>, admitted: Admitted) {
    drop(gone);
    // Boxed: every connection that is parked would carry the memory of it.
    Box::pin(enter_again(shared, service, admitted)).await;
}

/// Joins a visitor with a parked connection. What is not needed while the stream runs is kept in one piece.
fn join(shared: &Shared, parked: TcpStream, live: Live, admitted: Admitted, service: Arc<Service>) {
    let Admitted { visitor: Visitor { stream, address, received, live: visitor_live, .. }, counted, .. } =
        admitted;
    let ended = move |joined: Joined| {
        let broken = joined.broken.map(|broken| broken.describe("the visitor", "the exposer"));
        debug!(%address, received = joined.there, sent = joined.back, broken, "stream ended");
        // From here on they do not count.
        drop((visitor_live, live, counted));
    };
    let (taken, limit) = (Instant::now(), silence_max(shared));
    let doubt = move || service.is_silent(taken, limit).then(no_exposer);
    shared.streams.join_unless(Box::new(doubt), stream, parked, received, Box::new(ended));
}

/// How long an exposer may say nothing at all, not even a ping, before a stream that it has sent nothing of is given up.
fn silence_max(shared: &Shared) -> Duration {
    let config = &shared.config;
    config.open_timeout.max(PING_EVERY.min(config.idle_timeout / 3) * 2)
}

fn no_exposer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the exposer does not answer")
}
