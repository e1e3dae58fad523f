//! The practice clients against servers in plain Python, with every option.

use std::time::{Duration, Instant};

use predicates::str::contains;

use crate::harness::{LabServer, Process, PythonServer, command, relay};

fn talk(server: &PythonServer, rest: &[&str]) -> assert_cmd::Command {
    let port = server.port();
    relay(["lab", "talk", "127.0.0.1", port.as_str()].iter().chain(rest))
}

#[test]
fn a_message_is_sent_and_its_answer_shown() {
    let server = PythonServer::start("received");
    let told = talk(&server, &["Grüße an alle"]).assert().success();
    let output = told.get_output();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Server received: Grüße an alle");
    let beside = String::from_utf8_lossy(&output.stderr);
    for part in ["Connecting to 127.0.0.1:", "Connected!", "Done: 32 bytes", "the server paused"] {
        assert!(beside.contains(part), "{beside}");
    }
}

#[test]
fn an_answer_ends_with_the_connection() {
    let server = PythonServer::start("timestamp");
    talk(&server, &["hi"])
        .assert()
        .success()
        .stdout(
            predicates::str::is_match(r"^Server received at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: hi$").unwrap(),
        )
        .stderr(contains("the server closed the connection"));
}

#[test]
fn a_pipe_gets_the_bytes_as_they_came() {
    let server = PythonServer::start("greeting");
    talk(&server, &[""]).assert().success().stdout(&b"\x1b[2JWelcome\xff\n"[..]);
}

#[test]
fn host_names_and_ipv6_are_understood() {
    let server = PythonServer::start("echo");
    relay(["lab", "talk", "localhost", &server.port(), "name"]).assert().success().stdout("name");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let server = PythonServer::start("echo6");
        for host in ["::1", "[::1]"] {
            relay(["lab", "talk", host, &server.port(), "six"]).assert().success().stdout("six");
        }
    }
}

#[test]
fn a_line_feed_is_added_when_asked_for() {
    let server = PythonServer::start("lines");
    talk(&server, &["hi", "--newline"]).assert().success().stdout("line: hi\n");
    talk(&server, &["hi", "--timeout", "300ms"]).assert().code(7);
    talk(&server, &["--newline"]).write_stdin("a\nb\n").assert().success().stdout("line: a\nline: b\n");
}

#[test]
fn a_pause_ends_the_answer_and_can_be_longer() {
    let server = PythonServer::with(&["late", "1.5"]);
    talk(&server, &["hi", "--pause", "100ms"]).assert().success().stdout("first ");
    talk(&server, &["hi", "--pause", "10s"]).assert().success().stdout("first second");
}

#[test]
fn an_answer_may_be_limited() {
    let server = PythonServer::start("flood");
    talk(&server, &["hi", "--max-bytes", "5"])
        .assert()
        .success()
        .stdout("xxxxx")
        .stderr(contains("--max-bytes"));
    let told = talk(&server, &["hi", "--max-bytes", "100kB"]).assert().success();
    assert_eq!(told.get_output().stdout.len(), 100_000);
}

#[test]
fn lines_from_a_script_are_answered_one_by_one() {
    let server = PythonServer::start("received");
    talk(&server, &[])
        .write_stdin("one\r\ntwo\n\nthree")
        .assert()
        .success()
        .stdout("Server received: oneServer received: twoServer received: three");
}

#[test]
fn quit_exit_and_q_end_a_conversation() {
    let server = PythonServer::start("echo");
    for word in ["quit", "exit", "q"] {
        talk(&server, &[]).write_stdin(format!("one\n{word}\nnever\n")).assert().success().stdout("one");
    }
}

#[test]
fn what_arrives_in_between_is_shown_as_it_arrives() {
    let server = PythonServer::start("greeting");
    let mut talk = Process::spawn(command(["lab", "talk", "127.0.0.1", &server.port()]));
    talk.expect_stdout("Welcome");
    talk.write("hello\n");
    talk.expect_stdout("HELLO");
    talk.write("again\n");
    talk.expect_stdout("AGAIN");
    talk.close_stdin();
    talk.expect_exit(0);
}

#[test]
fn a_request_prints_the_answer() {
    let server = PythonServer::start("json_frames");
    let port = server.port();
    let json = r#"{"command":"greet","name":"Zoë"}"#;
    relay(["lab", "request", "127.0.0.1", &port, json])
        .assert()
        .success()
        .stdout("{\"status\": \"ok\", \"echo\": {\"command\": \"greet\", \"name\": \"Zoë\"}}\n");
    relay(["lab", "request", "127.0.0.1", &port, "-"])
        .write_stdin("[1, 2]")
        .assert()
        .success()
        .stdout("{\"status\": \"ok\", \"echo\": [1, 2]}\n");
    relay(["lab", "request", "127.0.0.1", &port, "{oops"]).assert().code(2).stderr(contains("not JSON"));
    let limited = ["lab", "request", "127.0.0.1", &port, "[1,2,3]", "--max-bytes", "5"];
    relay(limited).assert().code(10).stderr(contains("at most 5"));
}

#[test]
fn our_client_and_our_server_understand_each_other() {
    let server = LabServer::start("json", &[]);
    let told = relay(["lab", "request", "127.0.0.1", &server.port(), r#"{"command":"get_status"}"#]);
    let told = { told }.assert().success();
    let status: serde_json::Value = serde_json::from_slice(&told.get_output().stdout).unwrap();
    assert_eq!((&status["status"], &status["connections"]), (&"ok".into(), &1.into()));
}

#[test]
fn an_upload_arrives_whole_and_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.bin");
    let data = crate::harness::pattern(3_000_000);
    std::fs::write(&file, &data).unwrap();
    let file = file.to_str().unwrap();
    let server = PythonServer::with(&["files", "line"]);
    relay(["lab", "upload", "127.0.0.1", &server.port(), file])
        .assert()
        .success()
        .stdout(contains("OK report.bin 3000000 bytes"))
        .stderr(contains("the same bytes (SHA-256)"));
    server.process.expect_stdout("file report.bin 3000000 ");

    relay(["lab", "upload", "127.0.0.1", &server.port(), file, "--name", "other.txt"]).assert().success();
    server.process.expect_stdout("file other.txt 3000000 ");

    let server = PythonServer::with(&["files", "plain"]);
    relay(["lab", "upload", "127.0.0.1", &server.port(), file])
        .assert()
        .success()
        .stdout("File received successfully\n")
        .stderr(contains("without a SHA-256"));
}

#[test]
fn connecting_is_tried_again_until_the_server_is_there() {
    let mut server = PythonServer::start("later");
    let mut talk = Process::spawn(command([
        "lab",
        "talk",
        "127.0.0.1",
        &server.port(),
        "hi",
        "--retries",
        "1000",
        "--retry-delay",
        "50ms",
    ]));
    talk.expect_stderr("trying again in 50ms (2 of 1000)");
    server.process.write("now\n");
    talk.expect_exit(0);
    assert_eq!(talk.stdout(), "hi");
}

#[test]
fn retries_are_counted_and_spaced() {
    // A port that nobody listens on, for as long as the socket is held.
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    held.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = held.local_addr().unwrap().as_socket().unwrap().port().to_string();
    let start = Instant::now();
    let told = relay(["lab", "talk", "127.0.0.1", &port, "hi", "--retries", "2", "--retry-delay", "300ms"]);
    let told = { told }.assert().code(4);
    let text = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
    assert_eq!(text.matches("trying again").count(), 2, "{text}");
    assert!(start.elapsed() >= Duration::from_millis(600));
    relay(["lab", "talk", "127.0.0.1", &port, "hi", "--retries", "0"]).assert().code(4);
}
