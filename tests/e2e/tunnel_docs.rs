//! The examples of docs/tunnel.md, run as they stand there but for hosts and ports.

use std::net::SocketAddr;

use crate::harness::{Exposer, Process, Relay, Socket, announced, command, echo, free_ports};

/// The three commands of an example, without their comments.
fn example(heading: &str) -> [String; 3] {
    let text = include_str!("../../docs/tunnel.md");
    let section = text.split(&format!("## {heading}\n")).nth(1).expect("the section is there");
    let block = section.split("```sh\n").nth(1).and_then(|block| block.split("```").next());
    let lines = block.expect("the example is there").lines();
    let commands: Vec<String> =
        lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect();
    commands.try_into().expect("three commands")
}

/// The command's arguments, with other words in place of some; each of those must be there.
fn arguments(text: &str, replaced: &[(&str, String)]) -> Vec<String> {
    let mut words: Vec<String> = text.strip_prefix("relay ").unwrap().split(' ').map(str::to_owned).collect();
    for (word, by) in replaced {
        let place = words.iter_mut().find(|found| found == word);
        *place.unwrap_or_else(|| panic!("{text} has no {word}")) = by.clone();
    }
    words
}

fn spawn(arguments: &[String]) -> Process {
    Process::spawn(command(arguments))
}

fn serve(text: &str, replaced: &[(&str, String)]) -> Relay {
    let mut arguments = arguments(text, replaced);
    arguments.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    Relay::from_process(spawn(&arguments), announced)
}

fn expose(text: &str, replaced: &[(&str, String)]) -> Exposer {
    let exposer = Exposer { process: spawn(&arguments(text, replaced)) };
    exposer.process.expect_stdout(" is reached ");
    exposer
}

fn expect_echo(at: SocketAddr) {
    let mut visitor = Socket::connect(at);
    visitor.send("hello");
    visitor.expect("hello");
}

#[test]
fn the_web_server_at_home_is_reached() {
    let [first, second, third] = example("A web server at home");
    let relay = serve(&first, &[]);
    let at_relay = ("example.org:8080", relay.address().to_string());
    let _exposer = expose(&second, &[at_relay.clone(), ("localhost:8000", echo().to_string())]);
    let forwarder = spawn(&arguments(&third, &[at_relay, ("8000", "0".to_owned())]));
    expect_echo(forwarder.wait_stdout("the address", announced));
}

#[test]
fn ssh_reaches_the_raspberry_pi() {
    let [first, second, third] = example("ssh to a Raspberry Pi");
    let relay = serve(&first, &[]);
    let at_relay = ("example.org:8080", relay.address().to_string());
    let _exposer = expose(&second, &[at_relay.clone(), ("localhost:22", echo().to_string())]);
    // What ssh itself makes of it, another test shows.
    let proxy = third.strip_prefix("ssh -o ProxyCommand=\"").and_then(|rest| rest.split('"').next()).unwrap();
    let mut forward = spawn(&arguments(proxy, &[at_relay]));
    forward.write("SSH-2.0-hello\r\n");
    forward.expect_stdout("SSH-2.0-hello\r\n");
    forward.close_stdin();
    forward.expect_exit(0);
}

#[test]
fn the_public_port_is_reached() {
    let [first, second, third] = example("A public port");
    let port = *free_ports(1).start();
    let relay = serve(&first, &[("9000-9099", format!("{port}-{port}"))]);
    let at_relay = ("example.org:8080", relay.address().to_string());
    let local = ("localhost:8000", echo().to_string());
    let exposer = expose(&second, &[at_relay, local, ("9000", port.to_string())]);
    assert_eq!(exposer.public("web"), SocketAddr::new(relay.address().ip(), port));
    assert_eq!(third, "curl http://example.org:9000/");
    expect_echo(exposer.public("web"));
}
