//! Length-prefixed JSON: every frame is answered with a JSON object, whatever is in it.
//!
//! | request | answer |
//! | --- | --- |
//! | `{"command":"get_status"}` | `{"status":"ok","uptime":12.5,"connections":1,"version":"0.1.0","time":"2025-10-01 14:30:25"}` |
//! | any other JSON | `{"status":"ok","received":…}`, the request byte for byte |
//! | anything else | `{"status":"error","error":"…"}`, and the conversation goes on |
//! | a length over the limit | the same error, and the connection closes: nobody can tell where the next frame begins |

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use serde::Serialize;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    Connection, PeerError, Service, ServiceError, Serving, Stop,
    clock::local_time,
    frame::{framed, read_body, read_length},
    shown::Preview,
};

/// Answers JSON with JSON.
#[derive(Debug)]
pub struct Json {
    frame_bytes_max: usize,
    started: Instant,
    open: AtomicUsize,
}

impl Json {
    /// A service that takes frames of up to `frame_bytes_max` bytes; its uptime begins now.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, started: Instant::now(), open: AtomicUsize::new(0) }
    }

    /// The answer to one request.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        match serde_json::from_slice::<Value>(request) {
            Ok(value) if value.get("command").and_then(Value::as_str) == Some("get_status") => {
                let status = Status {
                    status: "ok",
                    uptime: self.started.elapsed().as_millis() as f64 / 1e3,
                    connections: self.open.load(Ordering::Relaxed),
                    version: env!("CARGO_PKG_VERSION"),
                    time: local_time(),
                };
                serde_json::to_vec(&status).unwrap_or_else(|error| failure(&error.to_string()))
            }
            Ok(_) => {
                // The request as it came: written anew it would lose the order of its keys and the digits of its numbers.
                let answer = [br#"{"status":"ok","received":"#, request, b"}"].concat();
                // It nests a level deeper, which may be one too many for whoever reads it.
                match serde_json::from_slice::<Value>(&answer) {
                    Ok(_) => answer,
                    Err(_) => failure("this is JSON, but nests too deeply for its answer"),
                }
            }
            Err(error) if request.is_empty() => failure(&format!("the frame is empty: {error}")),
            Err(error) => failure(&format!("this is not JSON: {error}")),
        }
    }

    async fn converse(&self, connection: &mut Connection, mut stop: Stop) -> Result<(), ServiceError> {
        while let Some(length) = read_length(connection, Some(&mut stop)).await? {
            let request = match read_body(connection, length, self.frame_bytes_max).await {
                Err(error @ PeerError::TooLarge { .. }) => {
                    let answer = failure(&format!("the client {error}"));
                    connection.write_all(&framed(&answer)?).await?;
                    return Err(error.into());
                }
                read => read?,
            };
            info!(peer = %connection.peer(), bytes = request.len(), text = %Preview(&request), "request");
            let answer = self.answer(&request);
            debug!(peer = %connection.peer(), bytes = answer.len(), text = %Preview(&answer), "answer");
            connection.write_all(&framed(&answer)?).await?;
        }
        Ok(())
    }
}

impl Service for Json {
    fn serve<'a>(&'a self, connection: &'a mut Connection, stop: Stop) -> Serving<'a> {
        Box::pin(async move {
            let _open = Open::count(&self.open);
            self.converse(connection, stop).await
        })
    }
}

/// The answer to `get_status`, in the order in which people read it.
#[derive(Serialize)]
struct Status {
    status: &'static str,
    /// In seconds, to the millisecond.
    uptime: f64,
    connections: usize,
    version: &'static str,
    time: String,
}

/// Counts a connection for as long as it lives, however it ends.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn count(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The error object.
fn failure(sentence: &str) -> Vec<u8> {
    json!({ "status": "error", "error": sentence }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::{exchange, serve};

    fn answer(request: &[u8]) -> Value {
        serde_json::from_slice(&Json::new(1 << 20).answer(request)).unwrap()
    }

    #[test]
    fn the_status_is_asked_for_by_command() {
        let status = answer(br#"{"command": "get_status", "id": 7}"#);
        assert_eq!(status["status"], "ok");
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert!(status["uptime"].as_f64().unwrap() >= 0.0);
        assert_eq!(status["connections"], 0);
        assert_eq!(status["time"].as_str().unwrap().len(), 19);
        // People compare it with the page that shows it.
        let text = String::from_utf8(Json::new(64).answer(br#"{"command":"get_status"}"#)).unwrap();
        let at = ["status", "uptime", "connections", "version", "time"]
            .map(|key| text.find(&format!("\"{key}\":")).unwrap());
        assert!(at.is_sorted(), "{text}");
    }

    #[test]
    fn everything_else_comes_back_as_it_came() {
        let request = br#"{"z":1, "a":12345678901234567890123, "u":"\u00e9"}"#;
        let answer = Json::new(1 << 20).answer(request);
        let wanted = [br#"{"status":"ok","received":"#, &request[..], b"}"].concat();
        assert_eq!(answer.escape_ascii().to_string(), wanted.escape_ascii().to_string());
        for request in ["[1,2]", "\"get_status\"", "null", " true "] {
            let value: Value = serde_json::from_str(request).unwrap();
            assert_eq!(tests::answer(request.as_bytes())["received"], value);
        }
    }

    #[test]
    fn what_is_not_json_is_answered_with_an_error() {
        let bomb = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        // An answer nests deeper than its request; other parsers, and our own, have the limit that this one has.
        let deep = [vec![b'['; 127], vec![b']'; 127]].concat();
        for request in [&b""[..], &deep, b"{", b"{} {}", b"\xff\xfe", b"\"\xff\"", b"\xef\xbb\xbf{}", &bomb] {
            let answer = answer(request);
            assert_eq!(answer["status"], "error", "{}", Preview(request));
            assert!(!answer["error"].as_str().unwrap().is_empty());
        }
    }

    fn frames(mut bytes: &[u8]) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let (body, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            frames.push(serde_json::from_slice(body).unwrap());
            bytes = rest;
        }
        frames
    }

    #[tokio::test]
    async fn one_conversation_has_many_frames_and_survives_bad_ones() {
        let (mut client, _stopper, task) = serve(Json::new(64));
        let sent: Vec<u8> = [&b"{}"[..], b"oops", b"", br#"{"command":"get_status"}"#]
            .iter()
            .flat_map(|body| framed(body).unwrap())
            .collect();
        let answers = frames(&exchange(&mut client, &sent).await);
        let states: Vec<_> = answers.iter().map(|a| a["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["ok", "error", "error", "ok"]);
        assert_eq!(answers[3]["connections"], 1);
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn four_gigabytes_are_refused_before_they_are_allocated() {
        let (mut client, _stopper, task) = serve(Json::new(64));
        let answers = frames(&exchange(&mut client, b"\xff\xff\xff\xff{}").await);
        assert_eq!(answers[0]["status"], "error");
        assert!(answers[0]["error"].as_str().unwrap().contains("4294967295"));
        let ended = task.await.unwrap();
        assert!(matches!(ended, Err(ServiceError::Peer(PeerError::TooLarge { .. }))), "{ended:?}");
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_not_a_frame() {
        for sent in [&b"\0\0"[..], b"\0\0\0\x05ab"] {
            let (mut client, _stopper, task) = serve(Json::new(64));
            assert_eq!(exchange(&mut client, sent).await, b"");
            let ended = task.await.unwrap();
            assert!(matches!(ended, Err(ServiceError::Peer(PeerError::Closed(_)))), "{ended:?}");
        }
    }
}
