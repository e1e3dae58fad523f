//! A conversation line by line, with what arrives shown as it arrives.

use std::{future::Future, io::Write, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Input, Screen};
use crate::lab::{ClientError, Connection, PeerError};

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// After something arrived, so long a silence before the next line is asked for: an answer often comes in several pieces.
const SETTLE: Duration = Duration::from_millis(50);

/// What ends a conversation when it is typed.
const ENDINGS: [&[u8]; 3] = [b"quit", b"exit", b"q"];

/// How a conversation is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// How long a line waits for an answer before the next one is asked for.
    pub pause: Duration,
    /// What is sent behind each line.
    pub line_end: &'static [u8],
}

/// Asks for lines, sends each, and shows what arrives, until the input ends or says so. Then what is still to come is shown.
///
/// Between two lines it waits for an answer to the first, so that lines from a file are answered one by one; a server that does not answer
/// holds each only for the pause.
///
/// # Errors
/// [`PeerError::Closed`] when the other side ends the conversation, [`PeerError::Stalled`] when a line is not taken, and
/// [`ClientError::Output`].
pub async fn converse<W: Write, P: Write>(
    connection: &mut Connection,
    lines: &mut mpsc::Receiver<Input>,
    conversation: &Conversation,
    screen: &mut Screen<W, P>,
) -> Result<(), ClientError> {
    let patience = connection.patience();
    let (mut reader, mut writer) = split(connection.stream());
    let mut buffer = vec![0; PIECE_BYTES];
    let mut unsent = Vec::new();
    let mut is_unanswered = false;
    let mut turn = Turn::AskAt(Instant::now());
    // When a line is asked for although something still arrives, and when the conversation ends although it does.
    let (mut ask_at, mut end_at) = (None, None);
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read.map_err(PeerError::from)? {
                0 if matches!(turn, Turn::Ending(_)) => break,
                0 => {
                    screen.input_ended().and_then(|()| screen.pause()).map_err(ClientError::Output)?;
                    return Err(PeerError::Closed("the conversation").into());
                }
                n => {
                    screen.show(&buffer[..n]).map_err(ClientError::Output)?;
                    is_unanswered = false;
                    let now = Instant::now();
                    turn = match turn {
                        Turn::Ending(_) => {
                            let at = now + conversation.pause;
                            Turn::Ending(end_at.map_or(at, |end: Instant| end.min(at)))
                        }
                        Turn::Sending(_) => turn,
                        Turn::Asking | Turn::AskAgainAt(_) | Turn::AskAt(_) => {
                            // A server that never rests does not keep anyone from saying something.
                            let at_the_latest = *ask_at.get_or_insert(now + conversation.pause.max(SETTLE));
                            let at = (now + SETTLE).min(at_the_latest);
                            if turn.takes_input() { Turn::AskAgainAt(at) } else { Turn::AskAt(at) }
                        }
                    };
                }
            },
            written = writer.write(&unsent), if !unsent.is_empty() => match written.map_err(PeerError::from)? {
                0 => return Err(PeerError::Reset.into()),
                n => {
                    unsent.drain(..n);
                    turn = if unsent.is_empty() {
                        is_unanswered = true;
                        ask_at = None;
                        Turn::AskAt(Instant::now() + conversation.pause)
                    } else {
                        Turn::Sending(Instant::now() + patience)
                    };
                }
            },
            input = lines.recv(), if turn.takes_input() => match input {
                Some(Input::Line(line)) if !is_ending(&line) => {
                    screen.answered();
                    unsent = [line.as_slice(), conversation.line_end].concat();
                    turn = if unsent.is_empty() {
                        Turn::AskAt(Instant::now())
                    } else {
                        Turn::Sending(Instant::now() + patience)
                    };
                }
                ended => {
                    let is_word = matches!(ended, Some(Input::Line(_)));
                    match ended {
                        Some(Input::Line(_)) => screen.answered(),
                        _ => screen.input_ended().map_err(ClientError::Output)?,
                    }
                    // The other side may be gone already; then there is nothing more to come, which the read will say.
                    let _ = writer.shutdown().await;
                    let (now, wait) =
                        (Instant::now(), if is_unanswered { patience } else { conversation.pause });
                    // A person who has had enough is not kept by a server that never rests; a script gets all that comes.
                    end_at = (is_word || screen.asks_someone()).then_some(now + patience);
                    turn = Turn::Ending(now + wait);
                }
            },
            () = turn.is_over() => match turn {
                Turn::Ending(_) => break,
                Turn::Sending(_) => return Err(PeerError::Stalled(patience).into()),
                Turn::Asking | Turn::AskAgainAt(_) | Turn::AskAt(_) => {
                    screen.ask().map_err(ClientError::Output)?;
                    ask_at = None;
                    turn = Turn::Asking;
                }
            },
        }
    }
    screen.pause().map_err(ClientError::Output)
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// Ours, from that moment on.
    AskAt(Instant),
    /// Ours: a line may come.
    Asking,
    /// Ours still, although something arrived after a line was asked for: from that moment on it is asked for once more.
    AskAgainAt(Instant),
    /// A line is on its way, and stalled at that moment.
    Sending(Instant),
    /// We have said everything; the rest is waited for until that moment.
    Ending(Instant),
}

impl Turn {
    fn takes_input(&self) -> bool {
        matches!(self, Self::Asking | Self::AskAgainAt(_))
    }

    /// Completes at the turn's moment, if it has one.
    fn is_over(&self) -> impl Future<Output = ()> + use<> {
        let at = match self {
            Self::AskAt(at) | Self::AskAgainAt(at) | Self::Sending(at) | Self::Ending(at) => Some(*at),
            Self::Asking => None,
        };
        async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }
}

fn is_ending(line: &[u8]) -> bool {
    ENDINGS.iter().any(|word| line.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWrite, DuplexStream},
        time::sleep,
    };

    use super::*;
    use crate::lab::testing::pair;

    const PATIENCE: Duration = Duration::from_secs(5);
    const CONVERSATION: Conversation = Conversation { pause: Duration::from_millis(500), line_end: b"" };

    /// Holds a conversation of `inputs` with `server`, which gets the other end.
    async fn hold(
        inputs: &[&[u8]],
        line_end: &'static [u8],
        server: impl AsyncFnOnce(DuplexStream) -> Vec<u8>,
    ) -> (Result<(), ClientError>, String, Vec<u8>) {
        let (mut connection, peer) = pair(PATIENCE);
        let (sender, mut lines) = mpsc::channel(inputs.len() + 1);
        for line in inputs {
            sender.try_send(Input::Line(line.to_vec())).unwrap();
        }
        sender.try_send(Input::End).unwrap();
        let conversation = Conversation { line_end, ..CONVERSATION };
        let mut out = Vec::new();
        let mut screen: Screen<_, Vec<u8>> = Screen::new(&mut out, false);
        let talk = async {
            let result = converse(&mut connection, &mut lines, &conversation, &mut screen).await;
            drop(connection);
            result
        };
        let (result, heard) = tokio::join!(talk, server(peer));
        (result, String::from_utf8(out).unwrap(), heard)
    }

    /// Answers every chunk with its length.
    async fn counting(mut peer: DuplexStream) -> Vec<u8> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 64]);
        loop {
            match peer.read(&mut buffer).await.unwrap() {
                0 => return heard,
                n => {
                    heard.extend_from_slice(&buffer[..n]);
                    peer.write_all(format!("{n};").as_bytes()).await.unwrap();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_answered_one_by_one_until_the_input_ends() {
        let (result, shown, heard) = hold(&[b"a", b"", b"bcd"], b"", counting).await;
        result.unwrap();
        assert_eq!((shown.as_str(), heard.as_slice()), ("1;3;", &b"abcd"[..]));
        let (_, shown, heard) = hold(&[b"a", b"", b"bcd"], b"\n", counting).await;
        assert_eq!((shown.as_str(), heard.as_slice()), ("2;1;4;", &b"a\n\nbcd\n"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn three_words_end_it() {
        for word in [&b"quit"[..], b"exit", b"q", b" Q "] {
            let (result, _, heard) = hold(&[b"a", word, b"never"], b"", counting).await;
            result.unwrap();
            assert_eq!(heard, b"a");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_waited_for() {
        let (result, shown, _) = hold(&[b"a"], b"", async |mut peer| {
            peer.read_exact(&mut [0]).await.unwrap();
            sleep(Duration::from_secs(4)).await;
            peer.write_all(b"late").await.unwrap();
            Vec::new()
        })
        .await;
        result.unwrap();
        assert_eq!(shown, "late");
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_side_may_end_it_and_that_is_said() {
        let (result, shown, _) = hold(&[b"a", b"b"], b"", async |mut peer| {
            peer.read_exact(&mut [0]).await.unwrap();
            peer.write_all(b"bye").await.unwrap();
            Vec::new()
        })
        .await;
        assert!(matches!(result, Err(ClientError::Peer(PeerError::Closed(_)))), "{result:?}");
        assert_eq!(shown, "bye");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_not_taken_ends_it() {
        let long = vec![b'x'; 1 << 20];
        let (result, _, _) = hold(&[&long], b"", async |peer| {
            sleep(Duration::from_secs(60)).await;
            drop(peer);
            Vec::new()
        })
        .await;
        assert!(matches!(result, Err(ClientError::Peer(PeerError::Stalled(_)))), "{result:?}");
    }

    /// Sends a byte each 10 ms, for as long as they are taken.
    async fn chatter(mut to_client: impl AsyncWrite + Unpin) {
        while to_client.write_all(b".").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_rests_keeps_nobody_from_speaking_and_leaving() {
        let (mut connection, peer) = pair(PATIENCE);
        let (sender, mut lines) = mpsc::channel(4);
        for line in ["hello", "quit"] {
            sender.send(Input::Line(line.into())).await.unwrap();
        }
        let mut shown = Vec::new();
        let mut screen: Screen<_, Vec<u8>> = Screen::new(&mut shown, false);
        let (mut from_client, to_client) = split(peer);
        let start = Instant::now();
        let talk = async {
            let result = converse(&mut connection, &mut lines, &CONVERSATION, &mut screen).await;
            (result, start.elapsed())
        };
        let heard = async {
            let mut heard = Vec::new();
            from_client.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let ((held, took), heard) = tokio::select! {
            both = async { tokio::join!(talk, heard) } => both,
            () = chatter(to_client) => unreachable!(),
        };
        held.unwrap();
        assert_eq!(heard, b"hello");
        // Before each of the two lines it pauses at most once.
        let limit = PATIENCE + 2 * CONVERSATION.pause + Duration::from_millis(500);
        assert!(took >= PATIENCE && took < limit, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_asked_is_heard_at_once_whatever_arrives_meanwhile() {
        let (mut connection, peer) = pair(PATIENCE);
        let (sender, mut lines) = mpsc::channel(4);
        let mut shown = Vec::new();
        let mut screen: Screen<_, Vec<u8>> = Screen::new(&mut shown, false);
        let (mut from_client, to_client) = split(peer);
        let person = async {
            for line in [b"a", b"b", b"c"] {
                // By then each line that may be asked for was, and not just now.
                sleep(CONVERSATION.pause * 2 + CONVERSATION.pause / 2).await;
                let typed = Instant::now();
                sender.send(Input::Line(line.to_vec())).await.unwrap();
                let mut heard = [0];
                from_client.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, *line);
                assert!(typed.elapsed() < Duration::from_millis(100), "{:?}", typed.elapsed());
            }
        };
        tokio::select! {
            ended = converse(&mut connection, &mut lines, &CONVERSATION, &mut screen) => panic!("{ended:?}"),
            () = chatter(to_client) => unreachable!(),
            () = person => {}
        }
    }
}
