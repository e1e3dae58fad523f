use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::net::{Streams, StreamsConfig};

/// Nothing here takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(60);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// How two connections are joined, with what was received from the first. Aborted, the task breaks off.
type Joining = fn(TcpStream, TcpStream, Vec<u8>) -> JoinHandle<Joined>;

/// By a task.
fn task(first: TcpStream, second: TcpStream, received: Vec<u8>) -> JoinHandle<Joined> {
    tokio::spawn(Join::new(first, second, received))
}

/// By those who look after many.
fn streams(first: TcpStream, second: TcpStream, received: Vec<u8>) -> JoinHandle<Joined> {
    let config = StreamsConfig { threads: 2, unanswered_max: None, spin: Duration::from_micros(50) };
    let streams = Streams::new(config);
    let (give, take) = oneshot::channel();
    streams.join(first, second, received, Box::new(|joined| drop(give.send(joined))));
    tokio::spawn(async move {
        let joined = take.await.unwrap();
        drop(streams);
        joined
    })
}

/// Two people, joined: what each holds in hand, and the running join.
async fn joined(joining: Joining) -> (TcpStream, TcpStream, JoinHandle<Joined>) {
    let ((left, first), (right, second)) = (pair().await, pair().await);
    (left, right, joining(first, second, b"early ".to_vec()))
}

/// Each test for each way to join.
macro_rules! tests {
    ($($test:ident)*) => {
        mod by_a_task {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::in_time(super::$test(super::task)).await; })*
        }
        mod by_streams {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::in_time(super::$test(super::streams)).await; })*
        }
    };
}

tests! {
    bulk_and_small_talk_arrive_whole_both_ways_with_a_half_close
    a_reset_is_passed_on_as_a_reset
    a_reset_that_is_found_by_writing_is_not_passed_on_as_an_end
    a_reset_after_a_half_close_is_passed_on_too
    a_join_that_is_dropped_is_not_taken_for_a_whole_one
    what_is_not_read_is_held_back_at_the_source
    thousands_of_short_exchanges_lose_nothing
}

async fn in_time(test: impl Future<Output = ()>) {
    timeout(DEADLINE, test).await.unwrap();
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn bulk_and_small_talk_arrive_whole_both_ways_with_a_half_close(joining: Joining) {
    let (mut left, mut right, join) = joined(joining).await;
    left.write_all(b"hello").await.unwrap();
    let mut hello = [0; 11];
    right.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"early hello");

    // Enough for pipes to be taken, filled to the brim, and given back.
    let bulk = pattern(20 << 20);
    let sent = bulk.clone();
    let sending = tokio::spawn(async move {
        left.write_all(&sent).await.unwrap();
        left.shutdown().await.unwrap();
        let mut answer = Vec::new();
        left.read_to_end(&mut answer).await.unwrap();
        answer
    });
    let mut received = Vec::new();
    right.read_to_end(&mut received).await.unwrap();
    assert!(received == bulk, "{} of {} bytes", received.len(), bulk.len());
    // The other direction lives on.
    right.write_all(&bulk[..3 << 20]).await.unwrap();
    right.write_all(b"bye").await.unwrap();
    drop(right);
    let answer = sending.await.unwrap();
    assert!(answer.ends_with(b"bye") && answer.len() == (3 << 20) + 3);
    let joined = join.await.unwrap();
    assert!(joined.broken.is_none());
    assert_eq!((joined.there, joined.back), ((20 << 20) + 11, (3 << 20) + 3));
}

async fn a_reset_is_passed_on_as_a_reset(joining: Joining) {
    let (left, mut right, join) = joined(joining).await;
    let mut early = [0; 6];
    right.read_exact(&mut early).await.unwrap();
    reset(&left);
    drop(left);
    let error = right.read(&mut early).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(join.await.unwrap().broken.unwrap().at, Some(Edge::First));
}

async fn a_reset_that_is_found_by_writing_is_not_passed_on_as_an_end(joining: Joining) {
    let ((mut left, first), (mut right, second)) = (pair().await, pair().await);
    right.write_all(b"half").await.unwrap();
    reset(&right);
    drop(right);
    // There is something to write, and that fails before anything is read.
    let join = joining(first, second, b"early ".to_vec());
    let mut received = Vec::new();
    let error = left.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    if cfg!(not(windows)) {
        // There a reset takes with it what was not read yet.
        assert_eq!(received, b"half");
    }
    assert_eq!(join.await.unwrap().broken.unwrap().at, Some(Edge::Second));
}

async fn a_reset_after_a_half_close_is_passed_on_too(joining: Joining) {
    let (mut left, mut right, join) = joined(joining).await;
    left.shutdown().await.unwrap();
    let mut early = Vec::new();
    right.read_to_end(&mut early).await.unwrap();
    reset(&left);
    drop(left);
    assert!(join.await.unwrap().broken.is_some());
    // The reset takes its way.
    while right.take_error().unwrap().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn a_join_that_is_dropped_is_not_taken_for_a_whole_one(joining: Joining) {
    let (left, mut right, join) = joined(joining).await;
    let mut early = [0; 6];
    right.read_exact(&mut early).await.unwrap();
    join.abort();
    let error = right.read(&mut early).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(left);
}

async fn what_is_not_read_is_held_back_at_the_source(joining: Joining) {
    let (mut left, mut right, join) = joined(joining).await;
    let chunk = vec![b'x'; 1 << 20];
    let mut written = 0usize;
    // Until nothing fits any more: the systems' buffers, and one of the join's own.
    while let Ok(n) = timeout(Duration::from_millis(300), left.write(&chunk)).await {
        written += n.unwrap();
        assert!(written < 256 << 20, "everything was taken although nobody reads");
    }
    left.shutdown().await.unwrap();
    let mut received = Vec::new();
    right.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), written + 6);
    drop((left, right));
    join.await.unwrap();
}

async fn thousands_of_short_exchanges_lose_nothing(joining: Joining) {
    let (mut left, mut right, join) = joined(joining).await;
    let mut early = [0; 6];
    right.read_exact(&mut early).await.unwrap();
    let (started, mut exchanges) = (Instant::now(), 0u32);
    // On a busy machine each of them waits for its turn several times, and there are fewer.
    while exchanges < 5_000 && (exchanges < 100 || started.elapsed() < DEADLINE / 4) {
        left.write_all(&exchanges.to_be_bytes()).await.unwrap();
        let asked = right.read_u32().await.unwrap();
        assert_eq!(asked, exchanges);
        right.write_u64(asked.into()).await.unwrap();
        assert_eq!(left.read_u64().await.unwrap(), u64::from(exchanges));
        exchanges += 1;
    }
    drop((left, right));
    let (joined, exchanges) = (join.await.unwrap(), u64::from(exchanges));
    assert_eq!((joined.there, joined.back), (exchanges * 4 + 6, exchanges * 8));
}

#[tokio::test]
async fn a_stream_that_comes_when_all_were_ended_is_reset() {
    let streams = Streams::new(StreamsConfig { threads: 1, unanswered_max: None, spin: Duration::ZERO });
    streams.close();
    let ((mut left, first), (_right, second)) = (pair().await, pair().await);
    let (give, take) = oneshot::channel();
    streams.join(first, second, Vec::new(), Box::new(|joined: Joined| drop(give.send(joined))));
    assert!(take.await.unwrap().broken.is_some());
    assert_eq!(left.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
