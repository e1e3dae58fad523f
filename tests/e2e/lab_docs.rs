//! The way from the first echo to the first tunnel in docs/lab.md, run as it stands there but for hosts and ports.

use predicates::str::contains;

use crate::harness::{Exposer, LabServer, Process, Relay, announced, command, relay};

/// The commands of a section and the lines below each, which it is to show.
fn examples(heading: &str) -> Vec<(String, Vec<String>)> {
    let text = include_str!("../../docs/lab.md");
    let section = text.split(&format!("\n## {heading}\n")).nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let mut examples: Vec<(String, Vec<String>)> = Vec::new();
    let (mut is_inside, mut is_terminal) = (false, false);
    for line in section.lines() {
        match line.strip_prefix("$ relay ") {
            _ if line.starts_with("```") => {
                is_inside = !is_inside;
                is_terminal = is_inside && line == "```";
            }
            Some(command) if is_terminal => examples.push((command.to_owned(), Vec::new())),
            None if is_terminal => examples.last_mut().unwrap().1.push(line.to_owned()),
            _ => {}
        }
    }
    examples
}

/// Words of the page and what stands for them here.
type Replaced<'a> = [(&'a str, String)];

/// The text with what stands for some of its words, each of which must be there.
fn replaced(text: &str, words: &Replaced<'_>) -> String {
    words.iter().fold(text.to_owned(), |text, (word, by)| {
        assert!(text.contains(word), "{text} has no {word}");
        text.replace(word, by)
    })
}

fn arguments(text: &str, words: &Replaced<'_>) -> Vec<String> {
    replaced(text, words).split(' ').map(str::to_owned).collect()
}

/// The exchange of a talk, but for how long it took.
fn expect_talk(example: &(String, Vec<String>), words: &Replaced<'_>) {
    let (connecting, rest) = example.1.split_first().unwrap();
    let [connected, answer, done] = rest else { panic!("{rest:?}") };
    relay(arguments(&example.0, words))
        .assert()
        .success()
        .stdout(answer.clone())
        .stderr(contains(replaced(connecting, &[(":8888", format!(":{}", words[0].1))])))
        .stderr(contains(connected))
        .stderr(contains(done.split(" in ").next().unwrap()));
}

#[test]
fn the_first_echo_answers() {
    let examples = examples("The first echo");
    let server = LabServer::with(arguments(&format!("{} 0", examples[0].0), &[("lab ", String::new())]));
    expect_talk(&examples[1], &[("8888", server.port())]);
    let listening = replaced(&examples[0].1[0], &[("8888", server.port())]);
    assert_eq!(server.process.stdout(), format!("{listening}\n"));
}

#[test]
fn the_first_tunnel_leads_to_the_first_server() {
    let [service, expose, forward, talk] = <[_; 4]>::try_from(examples("The first tunnel")).unwrap();
    let relay = Relay::start();
    let at_relay = ("192.168.1.20:8080", relay.address().to_string());

    let server = LabServer::with(arguments(&format!("{} 0", service.0), &[("lab ", String::new())]));
    let local = ("hello 8888", format!("hello {}", server.port()));
    let words = [at_relay.clone(), ("127.0.0.1:8888", server.address().to_string())];
    let exposer = Exposer { process: Process::spawn(command(arguments(&expose.0, &words))) };
    let said = [words[0].clone(), words[1].clone(), local];
    exposer.process.expect_stdout(&replaced(&expose.1[0], &said));

    let words = [at_relay, ("9000", "0".to_owned())];
    let forwarder = Process::spawn(command(arguments(&forward.0, &words)));
    let port = forwarder.wait_stdout("the address", announced).port().to_string();
    forwarder.expect_stdout(&replaced(&forward.1[0], &[("9000", port.clone())]));
    let mut talk = talk;
    talk.1[0] = replaced(&talk.1[0], &[("9000", "8888".to_owned())]);
    expect_talk(&talk, &[("9000", port)]);
}

/// What the lines of an example type behind the prompts.
fn typed(example: &(String, Vec<String>)) -> Vec<&str> {
    example.1.iter().map(|line| line.split_once(" > ").expect("a prompt and what is typed").1).collect()
}

#[test]
fn a_message_crosses_the_relay() {
    let [_, receiving, sending, _] = <[_; 4]>::try_from(examples("Across networks: the relay")).unwrap();
    let relay = Relay::start();
    let client = |example: &(String, Vec<String>)| {
        let words = [("192.168.1.20 8080", format!("127.0.0.1 {}", relay.port()))];
        let mut client = Process::spawn(command(arguments(&example.0, &words)));
        relay.logged(&["joined", example.0.rsplit(' ').next().unwrap()]);
        for line in typed(example) {
            client.write(format!("{line}\n"));
        }
        client
    };
    let receiver = client(&receiving);
    let _sender = client(&sending);
    receiver.expect_stdout("b'hello'");
}
