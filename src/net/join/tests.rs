use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;

/// Nothing here takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Two people, joined: what each holds in hand, and the running join.
async fn joined() -> (TcpStream, TcpStream, tokio::task::JoinHandle<Joined>) {
    let ((left, first), (right, second)) = (pair().await, pair().await);
    (left, right, tokio::spawn(Join::new(first, second, b"early ".to_vec(), Vec::new())))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_and_small_talk_arrive_whole_both_ways_with_a_half_close() {
    timeout(DEADLINE, async {
        let (mut left, mut right, join) = joined().await;
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
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    timeout(DEADLINE, async {
        let (left, mut right, join) = joined().await;
        let mut early = [0; 6];
        right.read_exact(&mut early).await.unwrap();
        reset(&left);
        drop(left);
        let error = right.read(&mut early).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(join.await.unwrap().broken.is_some());
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_a_half_close_is_passed_on_too() {
    let (mut left, mut right, join) = joined().await;
    left.shutdown().await.unwrap();
    let mut early = Vec::new();
    right.read_to_end(&mut early).await.unwrap();
    reset(&left);
    drop(left);
    assert!(join.await.unwrap().broken.is_some());
    assert!(right.take_error().unwrap().is_some());
}

#[tokio::test]
async fn a_join_that_is_dropped_is_not_taken_for_a_whole_one() {
    timeout(DEADLINE, async {
        let (left, mut right, join) = joined().await;
        let mut early = [0; 6];
        right.read_exact(&mut early).await.unwrap();
        join.abort();
        let error = right.read(&mut early).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        drop(left);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_not_read_is_held_back_at_the_source() {
    timeout(DEADLINE, async {
        let (mut left, mut right, join) = joined().await;
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
    })
    .await
    .unwrap();
}
