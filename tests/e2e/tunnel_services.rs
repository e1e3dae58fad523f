//! Programs that know nothing of the relay: a web server and its browser, a WebSocket, ssh, Redis.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{
    Exposer, Forwarder, Process, Relay, announced, eventually, free_ports, not_run, pattern, public_relay,
    python,
};

const WEB: &str = "tests/e2e/python/tunnel_web.py";
const WEBSOCKET: &str = "tests/e2e/python/tunnel_websocket.py";

/// A Python server and where it listens.
fn server(script: &str, args: &[&str]) -> (Process, SocketAddr) {
    let process = Process::spawn(python(script, args));
    let address = process.wait_stdout("the announcement of the address", announced);
    (process, address)
}

/// Gets everything in the folder through both kinds of entrance.
fn browse(folder: &Path, threads: usize, said: &str) {
    let folder = folder.to_str().unwrap();
    let (_server, address) = server(WEB, &["serve", folder]);
    // However slow the machine is, nobody is turned away: only the browser's own deadline counts.
    let (relay, _) = public_relay(1, &["--open-timeout", "10m"]);
    let exposer = Exposer::with(&relay, ["web", &address.to_string(), "--port", "0"]);
    let forwarder = Forwarder::with(&relay, "web", &["--retry-for", "10m"]);
    for at in [exposer.public("web"), forwarder.address()] {
        let url = format!("http://{at}/");
        // It has deadlines of its own for whatever does not move; a download may take longer than any single event.
        let output = python(WEB, ["browse", &url, folder, &threads.to_string()]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), said);
    }
    assert!(!exposer.process.stderr().contains("WARN"), "{}", exposer.process.stderr());
}

#[test]
fn a_browser_gets_many_files_at_once_from_a_web_server() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..150usize {
        let bytes = pattern(1 + n * n * 37);
        fs::write(folder.path().join(format!("{n}.bin")), bytes).unwrap();
    }
    browse(folder.path(), 24, "150 files are the same");
}

/// Bytes of the one large download; a gigabyte and more by hand.
fn download_bytes() -> usize {
    std::env::var("RELAY_TEST_DOWNLOAD").ok().and_then(|n| n.parse().ok()).unwrap_or(256 << 20)
}

#[test]
fn a_large_download_is_the_same_at_the_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(folder.path().join("large.bin")).unwrap();
    let piece = pattern((1 << 20) - 7);
    let mut left = download_bytes();
    while left > 0 {
        let n = left.min(piece.len());
        std::io::Write::write_all(&mut file, &piece[..n]).unwrap();
        left -= n;
    }
    drop(file);
    browse(folder.path(), 1, "1 files are the same");
}

#[test]
fn a_websocket_works_as_without_a_tunnel() {
    let (_server, address) = server(WEBSOCKET, &["serve"]);
    let (relay, _) = public_relay(1, &[]);
    let exposer = Exposer::with(&relay, ["ws", &address.to_string(), "--port", "0"]);
    let forwarder = Forwarder::start(&relay, "ws");
    for at in [exposer.public("ws"), forwarder.address()] {
        let mut client =
            Process::spawn(python(WEBSOCKET, ["talk", &at.ip().to_string(), &at.port().to_string()]));
        client.expect_exit(0);
        assert!(client.stdout().contains("all frames came back"));
    }
}

/// Whether these programs are installed.
fn has(programs: &[(&str, &str)]) -> bool {
    programs
        .iter()
        .all(|(program, option)| Command::new(program).arg(option).stdin(Stdio::null()).output().is_ok())
}

#[test]
#[cfg(unix)]
fn ssh_works_with_forward_as_its_proxy_command() {
    // The server wants to be started by its whole path.
    let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/libexec/sshd"]
        .iter()
        .find(|p| Path::new(p).exists());
    let Some(sshd) = sshd.filter(|_| has(&[("ssh", "-V"), ("ssh-keygen", "-?")])) else {
        return not_run("needs sshd, ssh and ssh-keygen");
    };
    // Where the system's own service has never run, its folder is missing; only root is asked for it.
    let _ = fs::create_dir_all("/run/sshd");
    let folder = tempfile::Builder::new().prefix("relay-test").tempdir_in("/tmp").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for key in ["host", "user"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).status();
        assert!(made.unwrap().success());
    }
    fs::copy(path("user.pub"), path("authorized")).unwrap();
    let port = *free_ports(1).start();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n",
        path("host"),
        path("authorized")
    );
    fs::write(path("config"), config).unwrap();
    let mut server = Command::new(sshd);
    server.args(["-D", "-e", "-f", &path("config")]);
    let server = Process::spawn(server);
    server.expect_stderr("Server listening on 127.0.0.1");

    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "pi-ssh", ([127, 0, 0, 1], port).into());
    // As docs/tunnel.md has it, and whatever the program under test is run with.
    let forward =
        crate::harness::command(["forward", "pi-ssh", "-", "--relay", &relay.address().to_string()]);
    let words: Vec<String> = std::iter::once(forward.get_program())
        .chain(forward.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let ssh = |remote: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-i",
            &path("user"),
        ]);
        ssh.args(["-o", &format!("UserKnownHostsFile={}", path("known"))]);
        ssh.args(["-o", &format!("ProxyCommand={}", words.join(" "))]);
        ssh.args(["-l", String::from_utf8_lossy(&user).trim(), "pi", remote]);
        Process::spawn(ssh)
    };
    let mut greeting = ssh("echo hello from $SSH_CONNECTION; exit 7");
    greeting.expect_exit(7);
    assert!(greeting.stdout().starts_with("hello from 127.0.0.1 "), "{}", greeting.stdout());
    let mut copy = ssh("cat");
    let bytes = pattern(16 << 20);
    copy.write(&bytes);
    copy.close_stdin();
    copy.expect_exit(0);
    assert!(copy.stdout_bytes() == bytes);
}

#[test]
#[cfg(unix)]
fn a_redis_client_reaches_its_server() {
    if !has(&[("redis-server", "--version"), ("redis-cli", "--version")]) {
        return not_run("needs redis-server and redis-cli");
    }
    let port = *free_ports(1).start();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    server.arg("--dir").arg(folder.path());
    let server = Process::spawn(server);
    server.expect_stdout("eady to accept connections");
    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "redis", ([127, 0, 0, 1], port).into());
    let forwarder = Forwarder::start(&relay, "redis");
    let redis = |args: &[&str]| {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &forwarder.address().port().to_string()]).args(args);
        Process::spawn(cli)
    };
    let answer = |args: &[&str]| {
        let mut cli = redis(args);
        cli.expect_exit(0);
        cli.stdout()
    };
    assert_eq!(answer(&["SET", "greeting", "hello"]), "OK\n");
    assert_eq!(answer(&["GET", "greeting"]), "hello\n");
    // A message that the server sends by itself.
    let subscriber = redis(&["SUBSCRIBE", "news"]);
    subscriber.expect_stdout("subscribe\nnews\n1\n");
    assert_eq!(answer(&["PUBLISH", "news", "it works"]), "1\n");
    subscriber.expect_stdout("it works");
    // Many commands in one go.
    let mut bulk = redis(&["--pipe"]);
    let commands: String =
        (0..20_000).map(|n| format!("*3\r\n$3\r\nSET\r\n$8\r\nk{n:07}\r\n$8\r\nv{n:07}\r\n")).collect();
    bulk.write(commands);
    bulk.close_stdin();
    bulk.expect_exit(0);
    assert!(bulk.stdout().contains("errors: 0, replies: 20000"), "{}", bulk.stdout());
    assert_eq!(answer(&["DBSIZE"]), "20001\n");
    assert_eq!(answer(&["GET", "k0012345"]), "v0012345\n");
    eventually("nobody is left but this one", || answer(&["CLIENT", "LIST"]).lines().count() <= 2);
}
