//! Files that people write with any editor: a mark before the text is no part of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use predicates::prelude::*;

use crate::harness::{Process, Relay, command, relay};

const UTF_8_MARK: &str = "\u{feff}";

fn written(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// `text` as Notepad and PowerShell save it, in both orders of the bytes.
fn utf_16(text: &str) -> [Vec<u8>; 2] {
    let units = || format!("{UTF_8_MARK}{text}").encode_utf16().collect::<Vec<_>>();
    [
        units().iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        units().iter().flat_map(|unit| unit.to_be_bytes()).collect(),
    ]
}

#[test]
fn a_secret_behind_a_mark_is_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let token = written(folder.path(), "token", format!("{UTF_8_MARK}the token of all of us\r\n"));
    let owner = written(folder.path(), "owner", format!("{UTF_8_MARK}the secret of one of us\n"));
    let (token, owner) = (token.to_str().unwrap(), owner.to_str().unwrap());
    let server = Relay::with(&["--token-file", token]);
    let address = server.address().to_string();
    let recv = ["recv", "--relay", &address, "--as", "to"];
    let mut first = command(recv.iter().chain(&["--owner-file", owner]));
    first.env("RELAY_TOKEN", "the token of all of us");
    let mut first = Process::spawn(first);
    server.process.expect_stderr("joined name=to ");
    let mut second = command(recv.iter().chain(&["--token-file", token, "--count", "1"]));
    second.env("RELAY_OWNER", "the secret of one of us");
    let mut second = Process::spawn(second);
    // The same owner takes the name over.
    first.expect_exit(1);
    relay(["send", "--relay", &address, "--token-file", token, "to"]).write_stdin("hi").assert().success();
    second.expect_exit(0);
    assert_eq!(second.stdout(), "hi");
}

#[test]
fn a_configuration_behind_a_mark_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = written(folder.path(), "relay.toml", format!("{UTF_8_MARK}max-connections = 7\r\n"));
    relay(["serve", "--check", "--config", config.to_str().unwrap()])
        .assert()
        .success()
        .stdout(predicate::str::contains("max-connections = 7  # line 1"));
    let server = Relay::start();
    let services = format!(
        "{UTF_8_MARK}relay = \"{}\"\n[[services]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n",
        server.address()
    );
    let services = written(folder.path(), "services.toml", services);
    let expose = Process::spawn(command(["expose", "--config", services.to_str().unwrap()]));
    expose.expect_stdout("relay forward web");
}

#[test]
fn utf_16_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let in_utf_16 = predicate::str::contains("is in UTF-16; save it as UTF-8");
    for (n, bytes) in utf_16("max-connections = 7").into_iter().enumerate() {
        let path = written(folder.path(), &n.to_string(), bytes);
        let path = path.to_str().unwrap();
        let cases: [&[&str]; 5] = [
            &["serve", "--check", "--token-file", path],
            &["serve", "--check", "--config", path],
            &["expose", "--config", path],
            &["send", "x", "--relay", "127.0.0.1:1", "--token-file", path],
            &["recv", "--as", "x", "--relay", "127.0.0.1:1", "--owner-file", path],
        ];
        for arguments in cases {
            relay(arguments).write_stdin("").assert().code(2).stderr(in_utf_16.clone());
        }
    }
    let path = written(folder.path(), "latin", b"# caf\xe9\n");
    relay(["serve", "--check", "--config", path.to_str().unwrap()])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("is not UTF-8; save it as UTF-8"));
}
