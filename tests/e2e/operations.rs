//! What an operator sees: announcements, errors, the log.

use std::net::TcpListener;

use predicates::{prelude::*, str::contains};

use crate::harness::{Process, Relay, Socket, addresses, announced, command, frame, relay};

#[test]
fn help_fits_on_a_screen() {
    let lines = predicate::function(|text: &str| text.lines().count() <= 40);
    relay(["--help"]).assert().success().stdout(lines);
}

#[test]
fn the_announcement_says_where_it_listens_and_how_to_reach_it() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("a relay in a container announces addresses of the container");
    }
    let relay = Relay::start();
    let address = relay.address();
    let line = format!(
        "Listening on {address}; others reach it with: relay connect 127.0.0.1 {} NAME\n",
        address.port()
    );
    relay.process.expect_stdout(&line);
    assert_eq!(relay.process.stdout(), line, "and nothing else");
}

#[test]
fn the_announcement_of_all_addresses_names_one_that_others_can_use() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("a relay in a container announces addresses of the container");
    }
    let relay = Relay::listening("0.0.0.0:0", &[]);
    let text = relay.process.stdout();
    let host = text.split("relay connect ").nth(1).unwrap().split(' ').next().unwrap();
    assert_ne!(host, "0.0.0.0");
    // Without any network there is only a word in its place.
    if host != "HOST" {
        Socket::connect(format!("{host}:{}", relay.port()).parse().unwrap()).register(b"a");
    }
}

#[test]
fn with_json_logs_the_announcement_and_every_line_of_the_log_are_json() {
    let process = Process::spawn(command(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]));
    let relay = Relay::from_process(process, |text| {
        let line: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
        assert_eq!(line["event"], "listening");
        assert!(line["reach"].as_str().unwrap().starts_with("relay connect "), "{line}");
        line["address"].as_str()?.parse().ok()
    });
    let address = relay.address();
    let mut a = relay.client("a\n\"quoted\"");
    a.send("x|wrong|");
    a.expect_closed();
    relay.process.expect_stderr("disconnected");
    let log = relay.log_at_end();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let end = lines.iter().find(|line| line["message"] == "disconnected").expect("the end is logged");
    assert_eq!((&end["level"], &end["name"]), (&"WARN".into(), &r#"a\n"quoted""#.into()), "{end}");
    assert_eq!(end["address"], a.0.local_addr().unwrap().to_string(), "{end}");
    assert!(end["reason"].as_str().unwrap().contains("protocol error"), "{end}");
    assert_ne!(address.port(), 0);
}

/// The program says one sentence, announces nothing and ends with exit code 1.
fn fails_with(arguments: &[&str], sentence: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.ends_with(".\n"));
    relay(arguments).assert().code(1).stdout("").stderr(contains(sentence).and(one_line));
}

#[test]
fn a_port_in_use_is_a_sentence_and_exit_code_1() {
    if crate::harness::is_in_container() {
        return crate::harness::not_run("in a container every port is free");
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    fails_with(
        &["serve", "--listen", &address],
        &format!("relay: {address} is in use by another program; stop that one or choose another port."),
    );
}

#[test]
fn an_address_of_another_machine_is_a_sentence_and_exit_code_1() {
    // Reserved for documentation, so nobody has it.
    fails_with(&["serve", "--listen", "192.0.2.1:0"], "192.0.2.1:0 is not an address of this machine");
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_without_permission_is_a_sentence_and_exit_code_1() {
    use crate::harness::{file, is_linux_process, linux::is_root};
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if !is_linux_process() || first_free.trim().parse::<u32>().unwrap() <= 80 {
        crate::harness::not_run("needs a process of this Linux, which guards its low ports");
        return;
    }
    let arguments = ["serve", "--listen", "127.0.0.1:80"];
    let sentence = "no permission to listen on 127.0.0.1:80; choose a port of 1024 or above";
    if !is_root() {
        return fails_with(&arguments, sentence);
    }
    // Where nobody can reach it: the build's own folder may be closed to others.
    let folder = tempfile::Builder::new().prefix("relay-test").tempdir_in("/tmp").unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everyone).unwrap();
    let copy = folder.path().join("relay");
    std::fs::copy(file(), &copy).unwrap();
    let nobody = ["--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"];
    let mut command = assert_cmd::Command::new("setpriv");
    // The program is the last of the words, behind those of its runner.
    let run = crate::harness::command::<&str>([]);
    let words: Vec<_> = std::iter::once(run.get_program()).chain(run.get_args()).collect();
    command
        .args(nobody)
        .args(&words[..words.len() - 1])
        .arg(copy)
        .args(arguments)
        .timeout(*crate::harness::DEADLINE);
    command.assert().code(1).stdout("").stderr(contains(sentence));
}

#[test]
fn a_wrong_value_is_named_and_ends_with_exit_code_2() {
    for (option, value) in [
        ("--listen", "localhost"),
        ("--listen", "127.0.0.1:70000"),
        ("--delivery", "cooked"),
        ("--allow", "10.0.0.0/33"),
        ("--allow", "10.1.2.3/8"),
        ("--deny", "localhost"),
        ("--max-connections", "0"),
        ("--max-connections-per-address", "-1"),
        ("--new-connections-per-second", "x"),
        ("--max-streams-per-service", "0"),
        ("--register-timeout", "5"),
        ("--register-timeout", "0s"),
        ("--idle-timeout", "-1s"),
        ("--idle-timeout", "0s"),
        ("--write-timeout", "0s"),
        ("--drain-timeout", "soon"),
        ("--max-message", "1073741825B"),
        ("--keepalive", "x"),
        ("--keepalive-interval", "x"),
        ("--keepalive-probes", "0"),
        ("--keepalive-probes", "101"),
        ("--user-timeout", "x"),
        ("--queue", "0"),
        ("--queue", "many"),
        ("--max-message", "-1"),
        ("--stream-above", "x"),
        ("--min-rate", "x"),
        ("--min-rate-grace", "0s"),
        ("--backlog", "-1"),
        ("--read-buffer", "1KiB"),
        ("--read-buffer", "1073741825"),
        ("--read-buffer", "1TiB"),
        ("--spin", "x"),
        ("--workers", "0"),
        ("--workers", "1025"),
        ("--log-level", "loud"),
        ("--log-format", "xml"),
        ("--no-such-option", "1"),
    ] {
        let assert = relay(["serve", "--listen", "127.0.0.1:0", &format!("{option}={value}")]).assert();
        assert.code(2).stdout("").stderr(contains(option));
    }
}

#[test]
fn neither_payloads_nor_raw_bytes_of_names_reach_the_log() {
    let relay = Relay::with(&["--log-level", "trace"]);
    let name = b"\x1b[31mred\nlevel=ERROR forged\xff\xe2\x80\xae";
    let mut client = relay.client(name);
    client.send_to(b"\x1b]0;title\x07\nnobody", "SECRET");
    client.send_to(name, "SECRET");
    client.expect("SECRET");
    // The name is taken; the refusal names it too.
    let mut second = relay.connect();
    second.send([&name[..], b"|"].concat());
    second.expect_closed();
    // What a hello has in place of what it should have is quoted in the reason.
    let mut third = relay.connect();
    third.send(frame(b"", "{\"hello\":\"\\u001b[31m\\u202e\\nforged\"}".as_bytes()));
    assert_eq!(third.control()["error"]["code"], "bad_hello");
    third.expect_closed();
    client.send("x|SECRET|");
    client.expect_closed();
    relay.process.expect_stderr("disconnected");
    let log = relay.log_at_end();
    assert!(!log.contains("SECRET"), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
    assert!(!log.contains('\u{202e}') && !log.contains('\u{fffd}'), "{log:?}");
    // A line of its own begins with the time.
    assert!(log.lines().all(|line| line.starts_with("20")), "{log}");
    let escaped = r"\u{1b}[31mred\nlevel=ERROR forged\xff\u{202e}";
    for event in ["joined", "refused", "undeliverable", "disconnected"] {
        let line = log.lines().find(|line| line.contains(event)).expect(event);
        let shown = line.contains(escaped) || (event == "refused" && log.matches(escaped).count() >= 4);
        assert!(shown, "{event}: {line}");
    }
    assert!(log.contains(r"\u{1b}]0;title\u{7}\nnobody"), "{log}");
}

#[test]
fn several_addresses_are_announced_in_a_line_each() {
    let process = Process::spawn(command(["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]));
    process.wait_stdout("two announcements", |text| (addresses(text).len() == 2).then_some(()));
    let found = addresses(&process.stdout());
    assert_ne!(found[0], found[1]);
    assert_eq!(announced(&process.stdout()), Some(found[0]));
    // It is one relay: clients meet wherever they come in.
    let mut a = Socket::connect(found[0]);
    let mut b = Socket::connect(found[1]);
    a.register(b"a");
    b.register(b"b");
    a.send_to("b", "across");
    b.expect("across");
}
