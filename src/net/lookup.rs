//! Looking up names. The system does it, and where it has no answer, it is asked again for IPv4 alone.
//!
//! A name may have a good IPv4 address while nobody answers the question for an IPv6 one, or answers it with an error. glibc gives what
//! it has; musl, which is in the static programs, fails as a whole, or waits for as long as connecting may take.

use std::{io, net::SocketAddr, time::Duration};

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::{DialError, Target};

/// How long the system may take before it is asked for IPv4 alone as well. Most look-ups take some milliseconds, a slow one with a lost
/// packet a second; musl and glibc wait for five.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of one question to the system.
type Answer = Result<Vec<SocketAddr>, Failed>;

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// There is none.
    NoName,
    /// Nobody says whether there is one.
    NoAnswer,
}

/// All addresses of a name, in the system's order of preference.
///
/// # Errors
/// [`DialError::NotFound`] when it has none, [`DialError::NoNameServer`] when nobody says so within `timeout`.
pub(super) async fn look_up(target: &Target, timeout: Duration) -> Result<Vec<SocketAddr>, DialError> {
    let ask = |family| {
        let (host, port) = (target.host().to_owned(), target.port());
        // The system blocks the thread; when nobody waits for it any more, it ends on its own.
        spawn_blocking(move || ask_system(&host, port, family))
    };
    first_found(ask, timeout).await.map_err(|failed| match failed {
        Failed::NoName => DialError::NotFound(target.host().to_owned()),
        Failed::NoAnswer => DialError::NoNameServer(target.host().to_owned()),
    })
}

/// Asks for addresses of any family, and if that fails or takes long, also for IPv4 alone. The first that are found count.
async fn first_found(ask: impl Fn(Option<AddrFamily>) -> JoinHandle<Answer>, timeout: Duration) -> Answer {
    let deadline = Instant::now() + timeout;
    let mut any = ask(None);
    let early = (Instant::now() + PATIENCE).min(deadline);
    let mut failed = match timeout_at(early, &mut any).await {
        Ok(answer) => match ended(answer) {
            Ok(found) => return Ok(found),
            Err(failed) => Some(failed),
        },
        Err(_) => None,
    };
    let mut v4 = ask(Some(AddrFamily::Inet));
    let mut v4_failed = None;
    let both = async {
        while failed.is_none() || v4_failed.is_none() {
            tokio::select! {
                answer = &mut any, if failed.is_none() => match ended(answer) {
                    Ok(found) => return Ok(found),
                    Err(why) => failed = Some(why),
                },
                answer = &mut v4, if v4_failed.is_none() => match ended(answer) {
                    Ok(found) => return Ok(found),
                    Err(why) => v4_failed = Some(why),
                },
            }
        }
        // Whoever says that there is no such name knows more than whoever says nothing.
        let is_known = [failed, v4_failed].contains(&Some(Failed::NoName));
        Err(if is_known { Failed::NoName } else { Failed::NoAnswer })
    };
    timeout_at(deadline, both).await.unwrap_or(Err(Failed::NoAnswer))
}

fn ended(answer: Result<Answer, tokio::task::JoinError>) -> Answer {
    answer.unwrap_or(Err(Failed::NoAnswer))
}

fn ask_system(host: &str, port: u16, family: Option<AddrFamily>) -> Answer {
    let hints = AddrInfoHints {
        socktype: SockType::Stream.into(),
        address: family.map_or(0, Into::into),
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(|error| failed(&error))?;
    let found: io::Result<Vec<_>> = found.map(|info| info.map(|info| info.sockaddr)).collect();
    let mut found = found.map_err(|_| Failed::NoName)?;
    found.iter_mut().for_each(|address| address.set_port(port));
    if found.is_empty() { Err(Failed::NoName) } else { Ok(found) }
}

fn failed(error: &LookupError) -> Failed {
    match error.kind() {
        LookupErrorKind::Again | LookupErrorKind::System | LookupErrorKind::Fail => Failed::NoAnswer,
        _ => Failed::NoName,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn found(text: &str) -> Answer {
        Ok(vec![text.parse().unwrap()])
    }

    /// Two resolvers, which answer after so many milliseconds: for any family, and for IPv4.
    async fn looked_up(any: (u64, Answer), v4: (u64, Answer)) -> (Answer, Duration) {
        let start = Instant::now();
        let ask = |family: Option<AddrFamily>| {
            let (ms, answer) = if family.is_some() { v4.clone() } else { any.clone() };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                answer
            })
        };
        (first_found(ask, TIMEOUT).await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_system_finds_counts() {
        let (answer, took) = looked_up((900, found("[::1]:80")), (0, found("127.0.0.1:80"))).await;
        assert_eq!((answer, took.as_millis()), (found("[::1]:80"), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_or_takes_long_is_asked_for_ipv4_alone() {
        for failed in [Failed::NoName, Failed::NoAnswer] {
            let (answer, took) = looked_up((10, Err(failed)), (20, found("127.0.0.1:80"))).await;
            assert_eq!((answer, took.as_millis()), (found("127.0.0.1:80"), 30));
        }
        let (answer, took) = looked_up((60_000, Err(Failed::NoAnswer)), (20, found("127.0.0.1:80"))).await;
        assert_eq!((answer, took.as_millis()), (found("127.0.0.1:80"), 1020));
        // The slow answer still counts when it comes first.
        let (answer, took) = looked_up((1100, found("[::1]:80")), (500, found("127.0.0.1:80"))).await;
        assert_eq!((answer, took.as_millis()), (found("[::1]:80"), 1100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_there_differs_from_silence() {
        let no_name = (10, Err(Failed::NoName));
        let no_answer = (10, Err(Failed::NoAnswer));
        assert_eq!(looked_up(no_name.clone(), no_name.clone()).await.0, Err(Failed::NoName));
        assert_eq!(looked_up(no_answer.clone(), no_name.clone()).await.0, Err(Failed::NoName));
        assert_eq!(looked_up(no_answer.clone(), no_answer).await.0, Err(Failed::NoAnswer));
        let never = (60_000, Err(Failed::NoName));
        let (answer, took) = looked_up(never.clone(), never).await;
        assert_eq!((answer, took), (Err(Failed::NoAnswer), TIMEOUT));
    }
}
