//! What bounds services: how many may wait or be parked, and for how long.

use std::{net::Ipv4Addr, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{
    key::Key,
    service::{Bounds, PARKED_MAX},
    visitor::{enter, enter_again},
    *,
};
use crate::wire::TextName;
use crate::{
    net::reset,
    relay::{CloseReason, Config, Identity, Policy, Relay, Shared},
};

/// Nothing here takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

fn shared() -> Arc<Shared> {
    let config = Config { listen: vec![(Ipv4Addr::LOCALHOST, 0).into()], ..Config::default() };
    Relay::bind(config, Policy::default()).unwrap().shared
}

fn service(bounds: Bounds) -> Arc<Service> {
    let exposer =
        Exposer { address: (Ipv4Addr::LOCALHOST, 1).into(), identity: Identity::default(), owner: None };
    Arc::new(Service::new(TextName::new("web").unwrap(), exposer, Key::random().unwrap(), bounds))
}

const UNBOUNDED: Bounds = Bounds { streams: usize::MAX, waiting: usize::MAX };

/// Both ends of a visitor's connection; it has entered.
async fn visitor(shared: &Arc<Shared>, service: &Arc<Service>) -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let live = shared.admit(address).unwrap();
    let visitor = Visitor { stream, address, received: Vec::new(), said_hello: true, live };
    if let Some(rest) = enter(shared, service, visitor) {
        tokio::spawn(rest);
    }
    near
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Waits until so many are parked and so many wait.
async fn counts(service: &Service, parked: usize, waiting: usize) {
    let since = std::time::Instant::now();
    while service.counts() != (parked, waiting) {
        assert!(since.elapsed() < DEADLINE, "{:?} in place of {:?}", service.counts(), (parked, waiting));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn so_many_visitors_may_wait_and_one_more_is_told_at_once() {
    let (shared, service) = (shared(), service(Bounds { waiting: 3, ..UNBOUNDED }));
    let mut waiting = Vec::new();
    for n in 1..=3 {
        waiting.push(visitor(&shared, &service).await);
        counts(&service, 0, n).await;
    }
    let told = answer(visitor(&shared, &service).await).await;
    assert!(told.contains("too_many_streams") && told.contains("too many visitors wait"), "{told}");
    counts(&service, 0, 3).await;
    // One that leaves makes room.
    drop(waiting.pop());
    counts(&service, 0, 2).await;
    waiting.push(visitor(&shared, &service).await);
    counts(&service, 0, 3).await;
}

#[tokio::test]
async fn streams_and_visitors_that_wait_are_so_many_together() {
    let (shared, service) = (shared(), service(Bounds { streams: 2, ..UNBOUNDED }));
    let (give, mut take) = oneshot::channel();
    assert!(service.park(give, true).unwrap());
    let _served = visitor(&shared, &service).await;
    let admitted = take.try_recv().unwrap();
    let _waits = visitor(&shared, &service).await;
    counts(&service, 0, 1).await;
    let told = answer(visitor(&shared, &service).await).await;
    assert!(told.contains("as many connections as it may have"), "{told}");
    drop(admitted);
    let _waits_too = visitor(&shared, &service).await;
    counts(&service, 0, 2).await;
}

#[tokio::test]
async fn so_many_connections_may_be_parked() {
    let service = service(UNBOUNDED);
    let mut parked = Vec::new();
    for _ in 0..PARKED_MAX {
        let (give, take) = oneshot::channel();
        assert!(service.park(give, true).unwrap());
        parked.push(take);
    }
    assert!(matches!(service.park(oneshot::channel().0, true), Err(Refusal::TooManyStreams)));
    // One that has ended makes room.
    drop(parked.pop());
    service.forget_gone();
    assert_eq!(service.counts(), (PARKED_MAX - 1, 0));
    let (give, _take) = oneshot::channel();
    assert!(service.park(give, true).unwrap());
    assert!(matches!(service.park(oneshot::channel().0, true), Err(Refusal::TooManyStreams)));
}

#[tokio::test(start_paused = true)]
async fn a_visitor_waits_for_the_open_timeout_and_is_told_then() {
    let (shared, service) = (shared(), service(UNBOUNDED));
    let since = Instant::now();
    let told = answer(visitor(&shared, &service).await).await;
    assert!(told.contains("the service web did not answer in time"), "{told}");
    let (took, limit) = (since.elapsed(), shared.config.open_timeout);
    // Beyond that, the clock may go on until the next deadline while the words are on their way.
    assert!(took >= limit && took < limit + Duration::from_secs(2), "{took:?}");
    assert_eq!(service.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_visitor_whose_connection_was_gone_waits_no_longer_for_that() {
    let (shared, service) = (shared(), service(UNBOUNDED));
    let since = Instant::now();
    let (give, mut take) = oneshot::channel();
    assert!(service.park(give, true).unwrap());
    let near = visitor(&shared, &service).await;
    let admitted = take.try_recv().unwrap();
    tokio::time::sleep(shared.config.open_timeout / 2).await;
    let again = {
        let (shared, service) = (Arc::clone(&shared), Arc::clone(&service));
        async move { enter_again(&shared, &service, admitted).await }
    };
    tokio::spawn(again);
    let told = answer(near).await;
    assert!(told.contains("did not answer in time"), "{told}");
    assert!(since.elapsed() < shared.config.open_timeout + Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_service_that_ends_tells_whoever_waits() {
    let (shared, service) = (shared(), service(UNBOUNDED));
    let near = visitor(&shared, &service).await;
    service.close(CloseReason::Finished);
    let told = answer(near).await;
    assert!(told.contains("no_such_service"), "{told}");
}

#[tokio::test]
async fn who_leaves_gives_its_place_and_its_connection_to_the_next() {
    let (shared, service) = (shared(), service(UNBOUNDED));
    let first = visitor(&shared, &service).await;
    let second = visitor(&shared, &service).await;
    counts(&service, 0, 2).await;
    let address = second.local_addr().unwrap();
    // In whatever order the two are noticed.
    reset(&first);
    drop(first);
    let (give, take) = oneshot::channel();
    assert!(service.park(give, true).unwrap());
    let admitted = take.await.unwrap();
    if admitted.visitor.address != address {
        // It was given away before the reset arrived.
        drop(admitted);
        let (give, take) = oneshot::channel();
        assert!(service.park(give, true).unwrap());
        assert_eq!(take.await.unwrap().visitor.address, address);
    }
    counts(&service, 0, 0).await;
}

#[tokio::test]
async fn a_connection_that_is_gone_is_passed_over() {
    let (shared, service) = (shared(), service(UNBOUNDED));
    let _near = visitor(&shared, &service).await;
    counts(&service, 0, 1).await;
    let (gone, taken) = oneshot::channel();
    drop(taken);
    assert!(service.park(gone, true).unwrap());
    counts(&service, 0, 1).await;
    assert_eq!(service.unasked(), Some(1), "it is asked for again");
    let (give, take) = oneshot::channel();
    assert!(service.park(give, true).unwrap());
    take.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exposer_is_silent_when_it_has_said_nothing_for_the_limit_or_its_session_ended_so() {
    const LIMIT: Duration = Duration::from_secs(10);
    let after = |time: Duration| tokio::time::sleep(time);
    let service_of = |ending| {
        let service = service(UNBOUNDED);
        service.close(ending);
        service.is_silent(Instant::now(), LIMIT)
    };
    assert!(service_of(CloseReason::Idle) && service_of(CloseReason::SlowConsumer));
    assert!(
        !service_of(CloseReason::Finished)
            && !service_of(CloseReason::Disconnected)
            && !service_of(CloseReason::Replaced)
    );
    let service = service(UNBOUNDED);
    service.hear();
    after(Duration::from_millis(1)).await;
    let taken = Instant::now();
    for _ in 0..2 {
        after(LIMIT - Duration::from_millis(1)).await;
        assert!(!service.is_silent(taken, LIMIT), "its service may take its time");
        after(Duration::from_millis(1)).await;
        assert!(!service.is_silent(taken, LIMIT), "it may have been this relay that was paused");
        after(Duration::from_millis(499)).await;
        assert!(!service.is_silent(taken, LIMIT));
        after(Duration::from_millis(1)).await;
        assert!(service.is_silent(taken, LIMIT));
        // Whatever it says clears it.
        service.hear();
        assert!(!service.is_silent(taken, LIMIT));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_and_does_not_leave_is_let_go() {
    let (shared, service) = (shared(), service(Bounds { streams: 0, ..UNBOUNDED }));
    let since = Instant::now();
    let _near = visitor(&shared, &service).await;
    assert_eq!(shared.live.load(Relaxed), 1);
    shared.all_ended().await;
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
}
