//! A log that nobody reads: the relay serves and stops as ever, and says later how much is missing. What `expose` says and nobody reads is
//! no different. And a log of strangers' doings: bounded.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, ErrorKind, PipeWriter, Read, Write},
    process::Stdio,
};

use rustix::io::ioctl_fionbio;

use crate::harness::{
    Forwarder, Process, Relay, Socket, announced, command, echo, eventually, expose_command, not_run,
};

/// Clients whose lines fill every pipe and the relay's own queue: each causes two of more than 300 bytes.
const CLIENTS: usize = 1200;

#[test]
fn a_reader_of_the_log_that_stalls_holds_up_nobody() {
    if crate::harness::is_windows() {
        return not_run("wine buffers a pipe without bound");
    }
    let mut child = command(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = announced(&line).expect("the relay announces its address");
    let mut log = child.stderr.take().unwrap();
    for n in 0..CLIENTS {
        let mut client = Socket::connect(address);
        let name = format!("{n:0>255}");
        client.register(name.as_bytes());
        client.shutdown_write();
        client.expect_closed();
    }
    let (mut a, mut b) = (Socket::connect(address), Socket::connect(address));
    a.register(b"a");
    b.register(b"b");
    a.send_to("b", "still here");
    b.expect("still here");
    // Read at last, the log says what is missing.
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("log lines were dropped because nobody read the log") {
        let mut piece = [0; 4096];
        let n = log.read(&mut piece).unwrap();
        assert!(n > 0, "the relay goes on");
        seen.extend_from_slice(&piece[..n]);
    }
    // Once more with the log full, which must not keep the program from ending.
    for n in 0..CLIENTS {
        Socket::connect(address).register(format!("{n:0>255}").as_bytes());
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let mut status = None;
    eventually("the relay ends although nobody reads its log", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success() || crate::harness::without_signals().is_some(), "{status:?}");
}

/// Fills a pipe to the last byte.
fn fill(pipe: &mut PipeWriter) {
    ioctl_fionbio(&*pipe, true).unwrap();
    for piece in [&[b'-'; 4096][..], b"-"] {
        loop {
            match pipe.write(piece) {
                Ok(n) => assert!(n > 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("cannot fill the pipe: {error}"),
            }
        }
    }
    ioctl_fionbio(&*pipe, false).unwrap();
}

#[test]
fn a_reader_of_what_expose_says_that_stalls_holds_up_nobody() {
    if crate::harness::is_windows() {
        return not_run("wine buffers a pipe without bound");
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    fill(&mut writer);
    let mut relay = Relay::start();
    let expose = expose_command(relay.address(), ["web", &echo().to_string()]);
    let mut exposer = Process::spawn_onto(expose, writer);
    // Each time it has something to say, the second time while the first is not written yet.
    for times in 1..=2 {
        exposer.wait_stderr("that it is exposed", |log| {
            (log.matches("INFO exposed ").count() == times).then_some(())
        });
        let forwarder = Forwarder::start(&relay, "web");
        let mut visitor = forwarder.connect();
        visitor.send("anybody there?");
        visitor.expect("anybody there?");
        if times == 1 {
            relay.process.kill();
            relay = Relay::listening(&relay.address().to_string(), &[]);
        }
    }
    if let Some(why) = crate::harness::without_signals() {
        return not_run(why);
    }
    exposer.signal("TERM");
    exposer.expect_exit(0);
    drop(reader);
}

#[test]
fn strangers_that_are_refused_cause_few_lines_and_are_counted() {
    let relay = Relay::start();
    let strangers = 400;
    for _ in 0..strangers {
        let mut stranger = relay.connect();
        stranger.send("|no length|");
        let _ = stranger.receive_all();
    }
    let (named, others) = relay.process.wait_stderr("the count of the others", |log| {
        let named = log.lines().filter(|line| line.contains("refused address=")).count();
        let others: usize = log
            .lines()
            .filter(|line| line.contains("refused; there were too many"))
            .filter_map(|line| line.rsplit("others=").next()?.trim().parse::<usize>().ok())
            .sum();
        (named + others == strangers).then_some((named, others))
    });
    assert!(named >= 50 && others > 0, "{named} and {others}");
}
