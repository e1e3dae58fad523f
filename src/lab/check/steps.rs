//! The steps of a check, each of which adds its row to the report.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpStream, task::JoinSet, time::Instant};

use super::{
    ClientError, Plan, Report, large,
    probe::{self, Echoed},
    report::{milliseconds, per_second},
};
use crate::{
    lab::{Connection, PeerError, Preview, connect},
    net::{DialError, Target, dial, resolve},
    size::ByteSize,
};

/// Everything in order.
pub(super) async fn all(
    target: &Target,
    plan: &Plan,
    on_retry: impl FnMut(&DialError, u32),
    report: &mut Report,
) -> Result<(), ClientError> {
    let addresses = find(target, plan, report).await?;
    let (first, address) = reach(&addresses, plan, on_retry, report).await?;
    let first = connect::connection(target, first, plan.retry.timeout);
    round_trips(first, address, plan, report).await?;
    concurrent(address, plan, report).await?;
    large_message(address, plan, report).await
}

async fn find(target: &Target, plan: &Plan, report: &mut Report) -> Result<Vec<SocketAddr>, ClientError> {
    let start = Instant::now();
    let addresses = resolve(target, plan.retry.timeout).await?;
    let took = start.elapsed();
    let list: Vec<_> = addresses.iter().map(|a| Target::from(*a).host().to_owned()).collect();
    // With % in it, it names an interface, which no name can.
    let is_literal = target.host().parse::<IpAddr>().is_ok() || target.host().contains('%');
    let detail = if is_literal { "already an address".to_owned() } else { list.join(", ") };
    report.pass(milliseconds(took), detail);
    Ok(addresses)
}

/// Connects to every address, since it matters which of them work; the first that does is used from then on.
async fn reach(
    addresses: &[SocketAddr],
    plan: &Plan,
    on_retry: impl FnMut(&DialError, u32),
    report: &mut Report,
) -> Result<(TcpStream, SocketAddr), ClientError> {
    let attempt = async || {
        let mut last = None;
        let (mut reached, mut details) = (None, Vec::new());
        for address in addresses {
            let start = Instant::now();
            match dial(&Target::from(*address), plan.retry.timeout).await {
                Ok(stream) => {
                    let took = start.elapsed();
                    details.push(format!("{address} in {}", milliseconds(took)));
                    reached.get_or_insert((stream, *address, took));
                }
                Err(error) => {
                    details.push(format!("not {address}"));
                    last = Some(error);
                }
            }
        }
        match (reached, last) {
            (Some(reached), _) => Ok((reached, details)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(DialError::NotFound(String::new())),
        }
    };
    let ((stream, address, took), details) = plan.retry.run(attempt, on_retry).await?;
    report.pass(milliseconds(took), details.join(", "));
    Ok((stream, address))
}

/// A further connection to an address that was reached before.
async fn again(address: SocketAddr, plan: &Plan) -> Result<Connection, ClientError> {
    let target = Target::from(address);
    let stream = dial(&target, plan.retry.timeout).await?;
    Ok(connect::connection(&target, stream, plan.retry.timeout))
}

async fn round_trips(
    first: Connection,
    address: SocketAddr,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), ClientError> {
    let mut connection = Some(first);
    let mut times = Vec::new();
    let mut closes = false;
    let mut sample = Vec::new();
    for i in 1..=plan.messages {
        let mut current = match connection.take() {
            Some(current) => current,
            None => again(address, plan).await?,
        };
        let message = format!("relay lab check, message {i}");
        let exchanged = probe::exchange(&mut current, message.as_bytes(), plan.pause).await;
        let Echoed { took, answer, is_closed } = match exchanged {
            // A server that answered before and has closed since is one that closes after each answer.
            Err(PeerError::Closed(_) | PeerError::Reset) if i > 1 && !closes => {
                closes = true;
                current = again(address, plan).await?;
                probe::exchange(&mut current, message.as_bytes(), plan.pause).await?
            }
            exchanged => exchanged?,
        };
        closes |= is_closed;
        times.push(took);
        sample = answer;
        connection = (!closes).then_some(current);
    }
    times.sort();
    let typical = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    let mut detail = format!(
        "{} messages, the slowest in {}; the last answer: {}",
        times.len(),
        milliseconds(slowest),
        Preview(&sample)
    );
    if closes {
        detail.push_str("; the server closes after each answer");
    }
    report.pass(milliseconds(typical), detail);
    Ok(())
}

async fn concurrent(address: SocketAddr, plan: &Plan, report: &mut Report) -> Result<(), ClientError> {
    // All are open before the first one speaks.
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(again(address, plan).await?);
    }
    let mut tasks = JoinSet::new();
    for (i, mut connection) in connections.into_iter().enumerate() {
        let pause = plan.pause;
        tasks.spawn(async move {
            let message = format!("relay lab check, connection {i}.");
            let echoed = probe::exchange(&mut connection, message.as_bytes(), pause).await?;
            Ok::<_, PeerError>((message, echoed))
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(joined) = tasks.join_next().await {
        let (message, echoed) = joined.map_err(|e| PeerError::Io(e.into()))??;
        slowest = slowest.max(echoed.took);
        let answer = String::from_utf8_lossy(&echoed.answer);
        if let Some(at) = answer.find("relay lab check, connection ")
            && !answer.get(at..).unwrap_or_default().starts_with(&message)
        {
            return Err(PeerError::Malformed(format!(
                "the answer for another connection: {}",
                Preview(&echoed.answer)
            ))
            .into());
        }
    }
    let detail = format!("{} connections at the same time, each answered", plan.connections);
    report.pass(milliseconds(slowest), detail);
    Ok(())
}

async fn large_message(address: SocketAddr, plan: &Plan, report: &mut Report) -> Result<(), ClientError> {
    let mut connection = again(address, plan).await?;
    // Printable, for servers that decode, and different everywhere, so that nothing lost or doubled goes unnoticed.
    let message: Vec<u8> =
        (0_u32..).flat_map(|line| format!("{line:09}\n").into_bytes()).take(plan.large_bytes).collect();
    let returned = large::exchange(&mut connection, &message, plan.pause).await?;
    let size = ByteSize(message.len() as u64);
    let detail = if returned.is_unchanged {
        format!("{size} came back unchanged")
    } else if returned.is_endless {
        format!("{size} sent, more than {} came back, and no end", ByteSize(returned.bytes as u64))
    } else {
        format!("{size} sent, {} came back as the server's own answer", ByteSize(returned.bytes as u64))
    };
    report.pass(per_second(message.len(), returned.took), detail);
    Ok(())
}
