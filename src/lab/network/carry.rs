//! Two streams joined by an emulated network.

use std::{future::Future, io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, split},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    Network,
    line::Line,
    pump::{Broken, pump},
    traffic::Traffic,
};

/// How the joining ended.
#[derive(Debug)]
pub enum Carried {
    /// Both directions were brought to their ends.
    ToTheEnd,
    /// It was to stop, and nothing was on the way any more.
    Stopped,
    /// The network's `drop_after`, this long, is over.
    Dropped(Duration),
    /// One of the streams took nothing for this long.
    Stalled(Duration),
    /// One of the streams failed.
    Broken(io::Error),
}

/// Takes the bytes of `a` to `b` and those of `b` to `a`, through `network`. When `b_is_gone` completes, `b` takes nothing any
/// more: what it has said is still brought to `a`, then that was all. Neither may take nothing for longer than `patience`. When `stop` completes, it ends as soon as nothing is on the way and
/// nothing follows.
///
/// The end of one direction leaves the other as it is; a failure ends both at once.
pub async fn carry<A, B>(
    network: &Network,
    patience: Duration,
    a: &mut A,
    b: &mut B,
    b_is_gone: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
) -> Carried
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    let traffic = Traffic::default();
    let (a_reader, a_writer) = split(a);
    let (b_reader, b_writer) = split(b);
    let there = async {
        tokio::select! {
            // In this order: a `b` that is gone must not pass for one that failed.
            biased;
            () = b_is_gone => Ok(()),
            result = pump(a_reader, b_writer, Line::new(network, now), patience, &traffic) => result,
        }
    };
    let back = pump(b_reader, a_writer, Line::new(network, now), patience, &traffic);
    let drop = async {
        match network.drop_after {
            Some(time) => {
                sleep(time).await;
                time
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = async { tokio::try_join!(there, back) } => match result {
            Ok(_) => Carried::ToTheEnd,
            Err(Broken::Stalled) => Carried::Stalled(patience),
            Err(Broken::Failed(error)) => Carried::Broken(error),
        },
        time = drop => Carried::Dropped(time),
        () = async {
            stop.await;
            traffic.rests().await;
        } => Carried::Stopped,
    }
}

/// Closes a connection without a word: the other side gets a reset, and what was still to be sent is lost.
pub fn reset(stream: TcpStream) {
    // A connection for which this fails has ended already.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::lab::network::Rate;

    const PATIENCE: Duration = Duration::from_secs(300);

    /// Two ends with `network` between them.
    fn ends(network: Network) -> (DuplexStream, DuplexStream) {
        let (near, mut a) = duplex(1 << 20);
        let (mut b, far) = duplex(1 << 20);
        tokio::spawn(async move { carry(&network, PATIENCE, &mut a, &mut b, pending(), pending()).await });
        (near, far)
    }

    async fn receive(stream: &mut DuplexStream, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn each_direction_is_late_by_the_delay() {
        let (mut near, mut far) = ends(Network { delay: Duration::from_millis(100), ..Network::default() });
        let start = Instant::now();
        near.write_all(b"ping").await.unwrap();
        assert_eq!(receive(&mut far, 4).await, b"ping");
        assert_eq!(start.elapsed().as_millis(), 100);
        far.write_all(b"pong").await.unwrap();
        assert_eq!(receive(&mut near, 4).await, b"pong");
        assert_eq!(start.elapsed().as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn delay_does_not_limit_the_rate() {
        let (mut near, mut far) = ends(Network { delay: Duration::from_millis(100), ..Network::default() });
        let start = Instant::now();
        for _ in 0..50 {
            near.write_all(b"x").await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        receive(&mut far, 50).await;
        let took = start.elapsed().as_millis();
        assert!((149..=152).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_for_each_direction() {
        let rate = Rate::from_bits_per_second(1_000_000);
        let (near, far) = ends(Network { rate, ..Network::default() });
        let start = Instant::now();
        // 125,000 bytes each way at once: one second, less what the bucket held.
        let send = |mut stream: DuplexStream| async move {
            stream.write_all(&[7; 125_000]).await.unwrap();
            assert_eq!(receive(&mut stream, 125_000).await, vec![7; 125_000]);
        };
        tokio::join!(send(near), send(far));
        let took = start.elapsed().as_millis();
        assert!((970..=1000).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_direction_takes_its_time_and_leaves_the_other() {
        let (mut near, mut far) = ends(Network { delay: Duration::from_millis(50), ..Network::default() });
        let start = Instant::now();
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.as_slice(), start.elapsed().as_millis()), (&b"last"[..], 50));
        far.write_all(b"answer").await.unwrap();
        assert_eq!(receive(&mut near, 6).await, b"answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_dropped_with_what_is_on_the_way() {
        let network = Network {
            delay: Duration::from_secs(1),
            drop_after: Some(Duration::from_secs(10)),
            ..Network::default()
        };
        let (near, mut a) = duplex(64);
        let (mut b, mut far) = duplex(64);
        let (mut near, start) = (near, Instant::now());
        let talk = async {
            sleep(Duration::from_millis(9500)).await;
            near.write_all(b"never seen").await.unwrap();
            pending::<()>().await;
        };
        tokio::select! {
            carried = carry(&network, PATIENCE, &mut a, &mut b, pending(), pending()) => assert!(matches!(carried, Carried::Dropped(_))),
            () = talk => unreachable!(),
        }
        assert_eq!(start.elapsed().as_secs(), 10);
        drop((a, b));
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn what_b_said_before_it_left_is_still_brought() {
        let network = Network { delay: Duration::from_secs(1), ..Network::default() };
        let (mut near, mut a) = duplex(64);
        let (mut b, mut far) = duplex(64);
        near.write_all(b"too late").await.unwrap();
        far.write_all(b"goodbye").await.unwrap();
        drop(far);
        let carried = carry(&network, PATIENCE, &mut a, &mut b, async {}, pending()).await;
        assert!(matches!(carried, Carried::ToTheEnd), "{carried:?}");
        assert_eq!(receive(&mut near, 7).await, b"goodbye");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_is_held_when_nobody_reads() {
        let network = Network { delay: Duration::from_millis(1), ..Network::default() };
        let (near, mut a) = duplex(1 << 10);
        let (mut b, _far) = duplex(1 << 10);
        let mut near = near;
        let mut sent = 0;
        let flood = async {
            loop {
                sent += near.write(&[0; 1 << 10]).await.unwrap();
            }
        };
        tokio::select! {
            _ = carry(&network, PATIENCE, &mut a, &mut b, pending(), pending()) => unreachable!(),
            () = flood => unreachable!(),
            () = sleep(Duration::from_secs(60)) => {}
        }
        assert!(sent <= network.in_flight_max() + (4 << 10), "{sent} bytes were taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_takes_nothing_ends_it_although_the_sender_goes_on() {
        let network = Network { delay: Duration::from_secs(1), ..Network::default() };
        let (mut near, mut a) = duplex(64);
        let (mut b, _far) = duplex(64);
        let start = Instant::now();
        let drip = async {
            loop {
                near.write_all(b"x").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let carried = tokio::select! {
            carried = carry(&network, PATIENCE, &mut a, &mut b, pending(), pending()) => carried,
            () = drip => unreachable!(),
        };
        assert!(matches!(carried, Carried::Stalled(PATIENCE)), "{carried:?}");
        // The 65th byte arrives then and is not taken.
        assert_eq!(start.elapsed().as_secs(), 65 + PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_what_is_on_the_way_and_its_answer_and_no_longer() {
        let network = Network { delay: Duration::from_secs(1), ..Network::default() };
        let (mut near, mut a) = duplex(64);
        let (mut b, mut far) = duplex(64);
        let start = Instant::now();
        near.write_all(b"ping").await.unwrap();
        let answer = async {
            assert_eq!(receive(&mut far, 4).await, b"ping");
            far.write_all(b"pong").await.unwrap();
            assert_eq!(receive(&mut near, 4).await, b"pong");
            start.elapsed()
        };
        let (carried, answered) = tokio::join!(
            carry(&network, PATIENCE, &mut a, &mut b, pending(), sleep(Duration::from_millis(500))),
            answer
        );
        assert!(matches!(carried, Carried::Stopped), "{carried:?}");
        assert_eq!(answered.as_secs(), 2);
        assert!(start.elapsed() < Duration::from_millis(2300), "{:?}", start.elapsed());
    }
}
