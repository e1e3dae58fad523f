//! The relay's file: it holds every option, its mistakes have lines, and it may change while the relay runs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use predicates::str::contains;
use tcp_relay::wire::Secret;
use tempfile::TempDir;

use crate::harness::{Process, Relay, Socket, announced, command, frame, own_ip, relay};

/// A folder with a file.
struct Written {
    _folder: TempDir,
    path: PathBuf,
}

impl Written {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn relay(&self, options: &[&str]) -> Relay {
        let mut serve = command(["serve", "--config"]);
        serve.arg(&self.path).args(options);
        Relay::from_process(Process::spawn(serve), announced)
    }

    fn check(&self, options: &[&str]) -> assert_cmd::Command {
        let mut check = relay(["serve", "--check", "--config"]);
        check.arg(&self.path).args(options);
        check
    }
}

/// Says hello with the token and gives the relay's answer.
fn ask(relay: &Relay, hello: &str, token: &str) -> (Socket, serde_json::Value) {
    let mut socket = relay.connect();
    socket.send(frame(b"", hello.as_bytes()));
    let challenge = socket.control()["challenge"].as_str().expect("a challenge").to_owned();
    let answer = Secret::new(token.as_bytes()).unwrap().answer(&challenge, hello.as_bytes());
    socket.send(frame(b"", format!(r#"{{"answer":"{answer}"}}"#).as_bytes()));
    let reply = socket.control();
    (socket, reply)
}

fn register(relay: &Relay, name: &str, token: &str) -> (Socket, serde_json::Value) {
    ask(relay, &format!(r#"{{"hello":2,"register":"{name}"}}"#), token)
}

/// The code of the refusal, or none.
fn code(reply: &serde_json::Value) -> Option<&str> {
    reply["error"]["code"].as_str()
}

const LISTEN: &str = "listen = [\"127.0.0.1:0\"]\n";

#[test]
fn a_file_has_every_option_under_its_own_name() {
    // What --check prints without a file is a file that says the same.
    let mut defaults = relay(["serve", "--check", "--max-connections=7", "--allow=::1", "--workers=2"]);
    let output = defaults.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let again = Written::new(&printed).check(&[]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&String::from_utf8(again.stdout).unwrap()), values(&printed));
    // And it has them all.
    let help = String::from_utf8(relay(["serve", "--help"]).output().unwrap().stdout).unwrap();
    let options =
        help.lines().filter_map(|line| line.trim_start().split(' ').find(|word| word.starts_with("--")));
    let options: BTreeSet<&str> =
        options.map(|word| &word[2..]).filter(|name| !["help", "config", "check"].contains(name)).collect();
    let keys = printed.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    assert_eq!(keys.map(|(key, _)| key).collect::<BTreeSet<_>>(), options);
}

#[test]
fn what_the_file_says_is_done() {
    let file = Written::new(&format!("{LISTEN}delivery = \"framed\"\nmax-connections = 1\n"));
    let relay = file.relay(&[]);
    let mut a = relay.connect();
    a.send("a|a|2|hi");
    a.expect("a|2|hi");
    relay.connect().expect_closed();
}

#[test]
fn the_command_line_beats_the_environment_which_beats_the_file() {
    let file =
        Written::new("log-level = \"error\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nallow-v1 = true\n");
    file.check(&[]).assert().success().stdout(contains("log-level = \"error\"  # line 1"));
    let mut variable = file.check(&[]);
    variable
        .env("RELAY_LOG", "warn")
        .assert()
        .success()
        .stdout(contains("log-level = \"warn\"  # environment"));
    let mut both = file.check(&["--log-level", "debug", "--listen", "127.0.0.1:3"]);
    let output = both.env("RELAY_LOG", "warn").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("log-level = \"debug\"  # command line"), "{text}");
    assert!(text.contains("listen = [\"127.0.0.1:3\"]  # command line"), "{text}");
    assert!(text.contains("allow-v1 = true  # line 3"), "{text}");
}

#[test]
fn check_prints_what_would_be_used_and_where_it_is_from() {
    let file = Written::new("[tokens]\nalice = \"a-long-and-secret-text\"\n[[rules]]\nregister = [\"a*\"]\n");
    // Nothing is listened on, so the port may be in use.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = holder.local_addr().unwrap().to_string();
    let mut check = file.check(&["--listen", &listen]);
    let output = check.env("RELAY_TOKEN", "another-secret-text").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("listen = [\"{listen}\"]  # command line\n")), "{text}");
    assert!(text.contains("idle-timeout = \"30s\"  # default\n"), "{text}");
    assert!(text.contains("# tokens: alice, default\n[[rules]]\nregister = [\"a*\"]\n"), "{text}");
    assert!(!text.contains("secret-text"), "{text}");
}

#[test]
fn every_mistake_is_a_sentence_with_its_line() {
    for (text, line, words) in [
        ("listen = [\"127.0.0.1:0\"]\n\ncolour = 1\n", 3, "there is no option `colour`"),
        ("config = \"other.toml\"", 1, "there is no option `config`"),
        ("check = true", 1, "there is no option `check`"),
        ("\nidle-timeout = \"soon\"", 2, "is not a time"),
        ("idle-timeout = 5", 1, "is not a time"),
        ("listen = \"localhost\"", 1, "is not an address and a port"),
        ("allow-v1 = \"yes\"", 1, "`allow-v1` is true or false"),
        ("backlog = true", 1, "`backlog` is a text"),
        ("backlog = 1.5", 1, "`backlog` is a text"),
        ("queue = [\"1MiB\"]", 1, "`queue` is a text"),
        ("deny = [1]", 1, "here goes a text"),
        ("deny = [\"10.1.0.0/8\"]", 1, "did you mean 10.0.0.0/8"),
        ("a = 1\na = 2", 2, "duplicate"),
        ("listen = ", 1, ""),
        ("tokens = 1", 1, "`tokens` is a table"),
        ("[tokens]\n\na = \"\"", 3, "the token `a` is none: it is empty"),
        ("[tokens]\na = 7", 2, "here goes a text"),
        ("[rules]\nopen = []", 1, "written as [[rules]]"),
        ("[[rules]]\nclose = [\"*\"]", 2, "no `close`"),
        ("[[rules]]\nopen = \"*\"", 2, "a list of texts"),
    ] {
        let file = Written::new(text);
        let place = format!("{}, line {line}: ", file.path.display());
        for mut command in [file.check(&[]), {
            let mut serve = relay(["serve", "--config"]);
            serve.arg(&file.path);
            serve
        }] {
            let output = command.output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{text}: {error}");
            assert!(output.stdout.is_empty() && error.lines().count() == 1, "{text}: {error}");
            assert!(
                error.contains(&place) && error.contains(words) && error.ends_with(".\n"),
                "{text}: {error}"
            );
        }
    }
    let missing = relay(["serve", "--config", "no-such-file"]).assert();
    missing.code(1).stderr(contains("cannot read no-such-file"));
    for (text, words) in [
        ("[tokens]\na = \"same\"\nb = \"same\"", ", line 3: the tokens a and b are the same"),
        ("[[rules]]\ntokens = [\"a\"]", ", line 2: a rule names the token a, which does not exist"),
        (
            "[[rules]]\ntokens = [\n  \"b\",\n  \"a\",\n]\n[tokens]\nb = \"one\"",
            ", line 4: a rule names the token a, which does not exist",
        ),
        ("queue = 0", "--queue is to be at least 1 bytes"),
    ] {
        Written::new(text).check(&[]).assert().code(2).stderr(contains(words));
    }
    let of_environment = Written::new("[[rules]]\ntokens = [\"default\"]");
    of_environment.check(&[]).assert().code(2).stderr(contains("the token default, which does not exist"));
    of_environment.check(&[]).env("RELAY_TOKEN", "a token that is long enough").assert().success();
}

#[test]
fn the_documented_file_is_valid_and_every_key_documented() {
    let text = include_str!("../../docs/configuration.md");
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Written::new(example).check(&[]).assert().success().stderr("");
    let printed = relay(["serve", "--check"]).output().unwrap().stdout;
    for line in String::from_utf8(printed).unwrap().lines() {
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") else { continue };
        assert!(text.contains(&format!("`{key}`")), "{key} is not documented");
    }
}

#[test]
fn rules_say_which_token_may_use_which_name() {
    let file = Written::new(&format!(
        "{LISTEN}[tokens]\na = \"the token of a\"\nb = \"the token of b\"\n[[rules]]\ntokens = [\"a\"]\nregister = [\"a-*\"]\n\
         expose = [\"web\"]\n[[rules]]\nregister = [\"all-?\"]\nopen = [\"web\"]\n"
    ));
    let relay = file.relay(&[]);
    for (hello, token, refused) in [
        (r#"{"hello":2,"register":"a-1"}"#, "the token of a", None),
        (r#"{"hello":2,"register":"b-1"}"#, "the token of a", Some("unauthorized")),
        (r#"{"hello":2,"register":"a-2"}"#, "the token of b", Some("unauthorized")),
        (r#"{"hello":2,"register":"all-1"}"#, "the token of b", None),
        (r#"{"hello":2,"register":"all-12"}"#, "the token of b", Some("unauthorized")),
        (r#"{"hello":2,"expose":"web"}"#, "the token of b", Some("unauthorized")),
        (r#"{"hello":2,"expose":"a-1"}"#, "the token of a", Some("unauthorized")),
        (r#"{"hello":2,"expose":"web"}"#, "the token of a", None),
        // Allowed, though nobody is there by now.
        (r#"{"hello":2,"open":"web"}"#, "the token of b", Some("no_such_service")),
        (r#"{"hello":2,"open":"ssh"}"#, "the token of b", Some("unauthorized")),
    ] {
        let (mut socket, reply) = ask(&relay, hello, token);
        assert_eq!(code(&reply), refused, "{hello} with {token}: {reply}");
        socket.shutdown_write();
        socket.0.set_read_timeout(Some(*crate::harness::DEADLINE)).unwrap();
        socket.receive_all();
    }
    relay.logged(&["refused", "do not allow the name b-1"]);
}

#[cfg(unix)]
mod reload {
    use super::*;

    fn reload(relay: &Relay, path: &Path, text: &str, logged: &[&str]) {
        let before = relay.process.stderr().len();
        std::fs::write(path, text).unwrap();
        relay.process.signal("HUP");
        relay.process.wait_stderr(&format!("{logged:?} in one line, and the end of the reload"), |log| {
            // An earlier reload may have logged the same.
            let new = log.get(before..)?;
            let found = new.lines().any(|line| logged.iter().all(|word| line.contains(word)));
            (found && new.contains("reloaded")).then_some(())
        });
    }

    fn with_tokens(tokens: &str) -> String {
        format!("{LISTEN}[tokens]\n{tokens}")
    }

    #[test]
    fn a_token_that_is_added_counts_and_one_that_is_taken_away_ends_its_sessions() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let file = Written::new(&with_tokens("a = \"the token of a\"\nb = \"the token of b\"\n"));
        let relay = file.relay(&[]);
        let (mut a, reply) = register(&relay, "a", "the token of a");
        assert_eq!(code(&reply), None);
        let (mut b, reply) = register(&relay, "b", "the token of b");
        assert_eq!(code(&reply), None);
        let (mut service, reply) = ask(&relay, r#"{"hello":2,"expose":"web"}"#, "the token of a");
        assert_eq!(code(&reply), None);
        assert_eq!(code(&register(&relay, "c", "the token of c").1), Some("unauthorized"));
        reload(
            &relay,
            &file.path,
            &with_tokens("b = \"the token of b\"\nc = \"the token of c\"\n"),
            &["INFO", "reloaded"],
        );
        for gone in [&mut a, &mut service] {
            assert_eq!(gone.control()["error"]["code"], "unauthorized");
            gone.expect_closed();
        }
        assert_eq!(code(&register(&relay, "a", "the token of a").1), Some("unauthorized"));
        let (mut c, reply) = register(&relay, "c", "the token of c");
        assert_eq!(code(&reply), None);
        c.send_to("b", "hello");
        b.expect("c|5|hello");
    }

    #[test]
    fn what_cannot_change_is_named_and_what_can_does() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let file = Written::new(LISTEN);
        let relay = file.relay(&[]);
        let mut a = relay.client("a");
        let text = format!("{LISTEN}queue = \"2MiB\"\nlog-level = \"debug\"\ndeny = [\"{}\"]\n", own_ip());
        reload(&relay, &file.path, &text, &["WARN", "needs a restart", "queue"]);
        relay.logged(&["INFO", "reloaded"]);
        // Who is denied now is gone, and does not come back.
        a.expect_closed();
        relay.connect().expect_closed();
        let text = format!("{LISTEN}log-level = \"debug\"\nmax-connections = 1\n");
        reload(&relay, &file.path, &text, &["reloaded"]);
        let mut b = Socket::connect(relay.address());
        b.send("b|nobody|4|lost");
        relay.logged(&["DEBUG", "undeliverable"]);
        relay.connect().expect_closed();
        assert!(!relay.log_at_end().contains("option=\"listen\""));
    }

    #[test]
    fn a_broken_file_changes_nothing_and_is_explained() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let file = Written::new(&with_tokens("a = \"the token of a\"\n"));
        let relay = file.relay(&[]);
        let (mut a, _) = register(&relay, "a", "the token of a");
        reload(
            &relay,
            &file.path,
            &format!("deny = [\"{}\"]\ncolour = 1\n", own_ip()),
            &["ERROR", "not reloaded", "line 2", "colour"],
        );
        std::fs::remove_file(&file.path).unwrap();
        relay.process.signal("HUP");
        relay.logged(&["ERROR", "not reloaded", "cannot read"]);
        a.send_to("a", "still here");
        a.expect("a|10|still here");
        assert_eq!(code(&register(&relay, "b", "the token of a").1), None);
    }

    #[test]
    fn a_token_file_is_read_again() {
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let file = Written::new("the first token");
        let mut serve = command(["serve", "--listen", "127.0.0.1:0", "--token-file"]);
        serve.arg(&file.path);
        let relay = Relay::from_process(Process::spawn(serve), announced);
        let (mut a, reply) = register(&relay, "a", "the first token");
        assert_eq!(code(&reply), None);
        reload(&relay, &file.path, "the second token", &["reloaded"]);
        assert_eq!(a.control()["error"]["code"], "unauthorized");
        assert_eq!(code(&register(&relay, "a", "the first token").1), Some("unauthorized"));
        assert_eq!(code(&register(&relay, "a", "the second token").1), None);
    }

    #[test]
    fn an_exposer_that_reads_nothing_loses_its_right_at_once() {
        use std::io::Write;
        if let Some(why) = crate::harness::without_signals() {
            return crate::harness::not_run(why);
        }
        let rules = |expose: &str| format!("{LISTEN}[[rules]]\nexpose = [{expose}]\nopen = [\"*\"]\n");
        let file = Written::new(&rules("\"*\""));
        // The test gives up before any of these.
        let relay =
            file.relay(&["--write-timeout", "10m", "--drain-timeout", "10m", "--idle-timeout", "10m"]);
        let mut control = relay.connect();
        control.send(frame(b"", br#"{"hello":2,"expose":"web"}"#));
        assert_eq!(control.control()["exposed"], "web");
        // Until the relay is in the midst of an answer that nobody reads.
        let pings = frame(b"", br#"{"ping":18446744073709551615}"#).repeat(1000);
        control.0.set_write_timeout(Some(crate::harness::scaled(500))).unwrap();
        while control.0.write_all(&pings).is_ok() {}
        reload(&relay, &file.path, &rules(""), &["no longer exposed", "the relay no longer allows it"]);
        let mut visitor = relay.connect();
        visitor.send(frame(b"", br#"{"hello":2,"open":"web"}"#));
        assert_eq!(visitor.control()["error"]["code"], "no_such_service");
        // Its connection ends, too.
        crate::harness::eventually("it is reset", || {
            control.0.write(b"x").is_err_and(|error| {
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
            })
        });
    }
}
