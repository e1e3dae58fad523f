//! A PostgreSQL client and its server, with a tunnel in between.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Exposer, Forwarder, Process, Relay, eventually, free_ports, not_run};

const PASSWORD: &str = "correct horse battery staple";

/// Where the server's programs are; Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = folders.chain(std::env::split_paths(&in_path));
    all.find(|folder| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).exists()))
}

/// A command that is not run as root, which the server refuses to be; what is in `folder` is its own.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    let id = |args: &[&str]| {
        let output = Command::new("id").args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    if id(&["-u"]) != "0" {
        return Command::new(program);
    }
    let (user, group) = (id(&["-u", "nobody"]), id(&["-g", "nobody"]));
    // To itself it is nobody, to everybody else it stays who it was.
    let (map_user, map_group) = (format!("--map-user={user}"), format!("--map-group={group}"));
    let unshare = ["--user", &map_user, &map_group];
    if Command::new("unshare").args(unshare).arg("true").output().is_ok_and(|output| output.status.success())
    {
        let mut command = Command::new("unshare");
        command.args(unshare).arg(program);
        return command;
    }
    // Containers mostly forbid that.
    let (user, group) = (user.parse().unwrap(), group.parse().unwrap());
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).chain([folder.to_owned()]) {
        chown(path, Some(user), Some(group)).unwrap();
    }
    let mut command = Command::new(program);
    command.uid(user).gid(group);
    command
}

/// A server with one user, `relay`.
struct Postgres {
    programs: PathBuf,
    port: u16,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Postgres {
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            not_run("needs initdb, postgres and psql");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("relay-test").tempdir_in("/tmp").unwrap();
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        let program = |name: &str| {
            let mut command = unprivileged(&programs.join(name), folder.path());
            command.current_dir(folder.path()).arg("-D").arg(folder.path().join("data"));
            command
        };
        let mut made = program("initdb");
        made.args(["--username=relay", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        made.arg("--pwfile").arg(&password);
        Process::spawn(made).expect_exit(0);
        let port = *free_ports(1).start();
        let mut server = program("postgres");
        let port_option = format!("port={port}");
        let settings = ["listen_addresses=127.0.0.1", &port_option, "unix_socket_directories=", "fsync=off"];
        for setting in settings {
            server.args(["-c", setting]);
        }
        let process = Process::spawn(server);
        process.expect_stderr("ready to accept connections");
        Some(Self { programs, port, process, _folder: folder })
    }
}

/// `psql`, connected to a port of this machine.
fn psql(programs: &Path, port: u16, args: &[&str]) -> Process {
    let mut psql = Command::new(programs.join("psql"));
    psql.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "relay", "-d", "postgres"]);
    psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "-v", "ON_ERROR_STOP=1"]).args(args);
    psql.env("PGPASSWORD", PASSWORD);
    Process::spawn(psql)
}

#[test]
fn a_postgresql_client_reaches_its_server() {
    let Some(mut postgres) = Postgres::start() else { return };
    let relay = Relay::start();
    let _exposer = Exposer::start(&relay, "db", ([127, 0, 0, 1], postgres.port).into());
    let forwarder = Forwarder::start(&relay, "db");
    let port = forwarder.address().port();
    let psql = |args: &[&str]| psql(&postgres.programs, port, args);
    let answer = |query: &str| {
        let mut client = psql(&["-c", query]);
        client.expect_exit(0);
        client.stdout()
    };
    answer("CREATE TABLE things (id integer PRIMARY KEY, name text NOT NULL)");
    // Bulk one way and the other.
    let rows: String = (0..200_000).map(|n| format!("{n}\tthing number {n}\n")).collect();
    let mut filled = psql(&["-c", "COPY things FROM STDIN"]);
    filled.write(&rows);
    filled.close_stdin();
    filled.expect_exit(0);
    assert_eq!(answer("SELECT count(*), max(name) FROM things"), "200000|thing number 99999\n");
    assert!(answer("COPY (SELECT * FROM things ORDER BY id) TO STDOUT") == rows);
    // A session of several steps, and what the server sends by itself: `psql` shows it with the next answer.
    let mut listener = psql(&[]);
    listener.write("BEGIN; UPDATE things SET name = 'mine' WHERE id = 1; COMMIT; LISTEN news;\n");
    listener.write("SELECT name, 'listens' FROM things WHERE id = 1;\n");
    listener.expect_stdout("mine|listens\n");
    answer("NOTIFY news, 'it works'");
    listener.write("SELECT 'next';\n");
    listener.expect_stdout("notification \"news\" with payload \"it works\"");
    listener.close_stdin();
    listener.expect_exit(0);
    // To cancel a query the client makes another connection, and so another stream.
    let mut sleeper = psql(&["-c", "SELECT 'asleep', pg_sleep(600)"]);
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%asleep%' AND wait_event = 'PgSleep'";
    eventually("the server is busy with it", || answer(active) == "1\n");
    sleeper.signal("INT");
    sleeper.expect_exit(1);
    assert!(sleeper.stderr().contains("canceling statement due to user request"), "{}", sleeper.stderr());
    // Fast shutdown: it takes its shared memory along.
    postgres.process.signal("INT");
    postgres.process.expect_exit(0);
}
