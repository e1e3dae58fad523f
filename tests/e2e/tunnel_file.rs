//! The file of `relay expose`: several services with all that each may have, and every other option.

use std::{io::Write, path::PathBuf};

use predicates::str::contains;
use tempfile::TempDir;

use crate::harness::{
    Exposer, Forwarder, Process, Relay, Service, Socket, command, echo, eventually, expose_command,
    public_relay, relay, service,
};

/// A folder with a file.
struct Written {
    folder: TempDir,
    path: PathBuf,
}

impl Written {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services.toml");
        std::fs::write(&path, text).unwrap();
        Self { folder, path }
    }

    /// The path of another file beside it, as TOML has it.
    fn beside(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("{:?}", path.to_str().unwrap())
    }

    fn command(&self) -> std::process::Command {
        let mut expose = command(["expose", "--config"]);
        expose.arg(&self.path);
        expose
    }

    fn expose(&self) -> Exposer {
        let exposer = Exposer { process: Process::spawn(self.command()) };
        exposer.process.expect_stdout(" is reached ");
        exposer
    }
}

/// A service that says its name.
fn named(name: &'static str) -> String {
    service(move |mut socket| drop(socket.0.write_all(name.as_bytes()))).to_string()
}

#[test]
fn a_file_has_several_services_and_the_options() {
    let (server, ports) = public_relay(4, &["--log-level", "debug"]);
    let told = Service::start();
    let written = Written::new(&format!(
        r#"
relay = "{}"
log-level = "debug"

[[services]]
name = "web"
address = "{}"
port = {}
ready = 3

[[services]]
name = "plain"
address = {}

[[services]]
name = "told"
address = "{}"
port = {}
proxy-protocol = "v2"
"#,
        server.address(),
        named("web"),
        ports.start(),
        echo().port(),
        told.address(),
        ports.end(),
    ));
    let exposer = written.expose();
    assert_eq!(exposer.public("web").port(), *ports.start());
    let parked = |name: &str| server.process.stderr().matches(&format!(" parked service={name} ")).count();
    // Six, where the service does not say less.
    eventually("connections wait", || (parked("web"), parked("plain")) == (3, 6));
    assert_eq!(Socket::connect(exposer.public("web")).receive_all(), b"web");
    // A port alone is one of this machine, and nothing goes before the bytes of a visitor.
    exposer.announced("plain", 1);
    let forwarder = Forwarder::start(&server, "plain");
    let mut plain = forwarder.connect();
    plain.send("hello");
    plain.expect("hello");
    let _visitor = Socket::connect(exposer.public("told"));
    told.accept().expect(b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11");
    // So does an option of the whole program.
    exposer.logged(&["DEBUG", "stream", "service=web"]);
}

#[test]
fn the_command_line_and_the_environment_count_more_than_the_file() {
    let server = Relay::start();
    let text = format!("relay = '127.0.0.1:1'\n[[services]]\nname = 'web'\naddress = '{}'\n", echo());
    let written = Written::new(&text);
    let mut from_environment = written.command();
    from_environment.env("RELAY_ADDR", server.address().to_string());
    let mut first = Process::spawn(from_environment);
    first.expect_stdout(" is reached ");
    first.kill();
    let mut from_words = written.command();
    from_words.args(["--relay", &server.address().to_string()]).env("RELAY_ADDR", "127.0.0.1:1");
    Process::spawn(from_words).expect_stdout(" is reached ");
    // With neither it is the file's.
    Process::spawn(written.command()).expect_stderr("127.0.0.1:1 refused");
}

#[test]
fn the_documented_file_is_valid_and_every_key_documented() {
    let text = include_str!("../../docs/configuration.md");
    let section = text.split("\n## Services of relay expose\n").nth(1).expect("the section is there");
    let block = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let server = Relay::start();
    let written = Written::new("");
    let owner = written.beside("owner", "the owner's own secret");
    let block = block.replace("example.org:8080", &server.address().to_string());
    std::fs::write(&written.path, block.replace("\"/etc/relay/pi-ssh.owner\"", &owner)).unwrap();
    // The file has nothing that is wrong, but this relay gives away no ports.
    let mut refused = Process::spawn(written.command());
    refused.expect_exit(1);
    assert!(refused.stderr().contains("leave out --port"), "{}", refused.stderr());
    let help = String::from_utf8(relay(["expose", "--help"]).output().unwrap().stdout).unwrap();
    let words = help.lines().filter_map(|line| line.trim_start().split(' ').find(|w| w.starts_with("--")));
    for option in words.map(|word| &word[2..]).filter(|name| !["help", "config"].contains(name)) {
        assert!(section.contains(&format!("`{option}`")), "{option} is not documented");
    }
}

#[test]
fn each_service_of_a_file_may_have_an_owner_of_its_own() {
    let (server, ports) = public_relay(1, &[]);
    let written = Written::new("");
    let [mine, other] = [("mine", "the owner's own secret"), ("other", "what the other one knows")]
        .map(|(name, secret)| written.beside(name, secret));
    let text = format!(
        "relay = '{}'\nowner-file = {other}\n\
         [[services]]\nname = 'a'\naddress = '{}'\nport = 0\nowner-file = {mine}\n\
         [[services]]\nname = 'b'\naddress = '{}'\n",
        server.address(),
        named("first"),
        named("first"),
    );
    std::fs::write(&written.path, text).unwrap();
    let mut exposer = written.expose();
    assert_eq!(exposer.public("a").port(), *ports.start());
    exposer.announced("b", 1);
    let take = |name: &str, secret: &str| {
        let mut taking = expose_command(server.address(), [name, &named("second")]);
        taking.env("RELAY_OWNER", secret);
        Process::spawn(taking)
    };
    // Neither secret is good for the name of the other.
    for (name, secret) in [("a", "what the other one knows"), ("b", "the owner's own secret")] {
        let mut stranger = take(name, secret);
        stranger.expect_exit(1);
        assert!(stranger.stderr().contains(&format!("the name {name} is taken")), "{}", stranger.stderr());
    }
    let second = take("a", "the owner's own secret");
    second.expect_stdout(" is reached ");
    exposer.process.expect_exit(1);
    assert!(exposer.process.stderr().contains("has taken the name a "), "{}", exposer.process.stderr());
}

#[test]
fn ready_bounds_the_connections_that_wait_for_visitors() {
    let (server, _) = public_relay(1, &["--log-level", "debug", "--open-timeout", "10m"]);
    let log = |part: &str| server.process.stderr().lines().filter(|line| line.contains(part)).count();
    let address = echo().to_string();
    let exposer = Exposer::with(&server, ["web", &address, "--port", "0", "--ready", "1"]);
    let public = exposer.public("web");
    eventually("one waits", || log(" parked service=web") == 1);
    for n in 1..=20 {
        let mut visitor = Socket::connect(public);
        visitor.send("hello");
        visitor.expect("hello");
        eventually("it is replaced", || log(" parked service=web") > n);
        assert_eq!(log(" parked service=web"), n + 1);
    }
    // A crowd is served as well, by connections that are made for it.
    let mut crowd: Vec<Socket> = (0..30).map(|_| Socket::connect(public)).collect();
    for visitor in &mut crowd {
        visitor.send("hello");
        visitor.expect("hello");
    }
    relay(["expose", "web", &address, "--ready", "0", "--relay", "127.0.0.1:1"])
        .assert()
        .code(2)
        .stderr(contains("--ready"));
}

#[test]
fn a_mistake_in_the_file_is_a_sentence_with_its_line() {
    let service = "[[services]]\nname = 'web'\naddress = 'localhost:1'\n";
    for (text, line, words) in [
        ("relay = \n", 1, "value"),
        ("relay = 'nowhere'\n", 1, "is not HOST:PORT"),
        ("\nretry = '1s'\n", 2, "there is no option `retry`"),
        ("retry-for = 'soon'\n", 1, "is not a time such as"),
        ("config = 'other.toml'\n", 1, "there is no option `config`"),
        ("port = 9000\n", 1, "`port` belongs to a service; write it below [[services]]"),
        ("services = 'web'\n", 1, "services are written below [[services]]"),
        ("[services]\nname = 'web'\n", 1, "services are written below [[services]]"),
        ("[[services]]\naddress = 'localhost:1'\n", 1, "the service has no name; add name = "),
        ("\n[[services]]\nname = 'web'\n", 2, "the service has no address; add address = "),
        ("[[services]]\nname = 'a|b'\n", 2, "choose another name"),
        ("[[services]]\nname = 7\n", 2, "here goes a text"),
        ("[[services]]\naddress = 'no port'\n", 2, "is not HOST:PORT"),
        ("[[services]]\naddress = 70000\n", 2, "is not HOST:PORT"),
        ("[[services]]\nport = 65536\n", 2, "a number up to 65535, or 0 for any"),
        ("[[services]]\nport = -1\n", 2, "a number up to 65535, or 0 for any"),
        ("[[services]]\nproxy-protocol = 'v1'\n", 2, "`proxy-protocol` is \"v2\""),
        ("[[services]]\nready = 257\n", 2, "a number from 1 to 256"),
        ("[[services]]\nowner-file = '/no/such/file'\n", 2, "check the path"),
        ("[[services]]\nprot = 1\n", 2, "owner-file, but no `prot`"),
        (&format!("{service}{service}"), 5, "the name web is there twice; give each service another"),
    ] {
        let written = Written::new(text);
        let output = relay(["expose", "--relay", "127.0.0.1:1", "--config"]).arg(&written.path).output();
        let output = output.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {errors}");
        let start = format!("relay: {}, line {line}: ", written.path.display());
        assert!(errors.starts_with(&start) && errors.contains(words), "{text}: {errors}");
        assert!(errors.trim_end().lines().count() == 1 && errors.ends_with(".\n"), "{text}: {errors}");
    }
}

#[test]
fn a_file_without_what_is_needed_is_a_sentence() {
    let run = |text: &str, options: &[&str]| {
        let written = Written::new(text);
        let mut expose = relay(["expose", "--config"]);
        expose.arg(&written.path).args(options);
        expose.assert().code(2).stdout("")
    };
    let service = "[[services]]\nname = 'web'\naddress = 'localhost:1'\n";
    run("relay = '127.0.0.1:1'\n", &[]).stderr(contains("services.toml has no service; add [[services]]"));
    run(service, &[]).stderr(contains("names no relay; add relay = "));
    // One place for the services, so that nobody has to guess which counts.
    for words in [&["web", "localhost:1"][..], &["--port", "1"], &["--ready", "1"]] {
        run(service, words).stderr(contains("--config"));
    }
    relay(["expose", "--config", "/no/such/file"]).assert().code(1).stderr(contains("check the path"));
    let twice = ["expose", "web", "localhost:1", "web", "localhost:2", "--relay", "127.0.0.1:1"];
    relay(twice).assert().code(2).stderr(contains("the name web is there twice"));
}
