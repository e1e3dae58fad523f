//! Uploads: names, limits, and what is left when they fail.

use std::{fs, path::Path};

use predicates::{prelude::*, str::contains};

use crate::harness::{LabServer, Socket, relay};

fn server(dir: &Path, options: &[&str]) -> LabServer {
    LabServer::start("files", &[&["--into", dir.to_str().unwrap()], options].concat())
}

fn upload(name: &[u8], data: &[u8]) -> Vec<u8> {
    [name, b"\n", &(data.len() as u64).to_be_bytes(), data].concat()
}

/// Sends one upload and returns the line that answers it.
fn send(server: &LabServer, name: &[u8], data: &[u8]) -> String {
    let mut client = server.connect();
    client.send(upload(name, data));
    client.shutdown_write();
    String::from_utf8(client.receive_all()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn names_are_reduced_and_nothing_leaves_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("into");
    let server = server(&dir, &[]);
    let long = [&[b'x'; 300][..], b".txt"].concat();
    for (sent, stored) in [
        (&b"../../escape.txt"[..], "escape.txt"),
        (b"/absolute/path.txt", "path.txt"),
        (br"..\..\windows.txt", "windows.txt"),
        (b"C:drive.txt", "C_drive.txt"),
        (b"..", "unnamed"),
        (b"nul\0byte", "nul_byte"),
        (b"COM1.txt", "_COM1.txt"),
        (b"NUL", "_NUL"),
        (b"trailing. ", "trailing"),
        (b"a<b>c:d\"e|f?g*h", "a_b_c_d_e_f_g_h"),
        (&long, &format!("{}.txt", "x".repeat(251))),
        ("Übung.txt".as_bytes(), "Übung.txt"),
    ] {
        let line = send(&server, sent, b"data");
        assert!(line.starts_with(&format!("received {stored}: 4 bytes, sha256 ")), "{line}");
        assert_eq!(fs::read(dir.join(stored)).unwrap(), b"data", "{stored}");
    }
    assert_eq!(names(&dir).len(), 12);
    assert_eq!(names(outer.path()), ["into"]);
}

#[test]
fn an_existing_file_is_kept_unless_it_may_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = server(dir.path(), &[]);
    send(&keeping, b"a.txt", b"first");
    assert!(send(&keeping, b"x/a.txt", b"second").starts_with("error: a.txt exists already"));
    assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"first");
    let replacing = server(dir.path(), &["--overwrite"]);
    assert!(send(&replacing, b"a.txt", b"second").starts_with("received a.txt"));
    assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"second");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn a_file_may_be_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &["--max-size", "10"]);
    assert!(send(&server, b"fits", &[0; 10]).starts_with("received fits: 10 bytes"));
    let line = send(&server, b"not", &[0; 11]);
    assert!(line.starts_with("error: the file has 11 bytes and at most 10"), "{line}");
    // The same from our client, which hears of it although it has much more to send.
    let big = dir.path().join("big");
    fs::File::create(&big).unwrap().set_len(50 << 20).unwrap();
    relay(["lab", "upload", "127.0.0.1", &server.port(), big.to_str().unwrap(), "--name", "large"])
        .assert()
        .code(11)
        .stderr(contains("at most 10 are taken"));
    assert_eq!(names(dir.path()), ["big", "fits"]);
}

#[test]
fn an_unfinished_upload_never_appears_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let whole = upload(b"half.bin", &[1; 1000]);
    let mut client = server.connect();
    client.send(&whole[..500]);
    // The server has begun to store it when its temporary file is there, under another name.
    crate::harness::eventually("the upload begins", || names(dir.path()).len() == 1);
    assert_ne!(names(dir.path()), ["half.bin"]);
    client.shutdown_write();
    client.expect_closed();
    server.process.expect_stderr("before the file was complete");
    crate::harness::eventually("nothing is left of it", || names(dir.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn a_stopped_server_leaves_nothing_unfinished() {
    if let Some(why) = crate::harness::without_signals() {
        return crate::harness::not_run(why);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path(), &["--drain-timeout", "0s"]);
    let mut client = server.connect();
    client.send(&upload(b"half.bin", &[1; 1000])[..500]);
    crate::harness::eventually("the upload begins", || names(dir.path()).len() == 1);
    server.process.signal("TERM");
    server.process.expect_exit(0);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_a_killed_server_has_left_is_removed_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let begin = |server: &LabServer, left: usize| {
        let mut client = server.connect();
        client.send(&upload(b"half.bin", &[1; 1000])[..500]);
        crate::harness::eventually("the upload begins", || names(dir.path()).len() == left);
        client
    };
    let mut killed = server(dir.path(), &[]);
    let _lost = begin(&killed, 1);
    killed.process.kill();
    assert_eq!(names(dir.path()).len(), 1);

    let first = server(dir.path(), &[]);
    assert!(names(dir.path()).is_empty());
    if crate::harness::is_wine() {
        // It does not keep to the sharing of files.
        return;
    }
    // Another server in the same directory is not to take the uploads of the first one for such.
    let mut client = begin(&first, 1);
    let _second = server(dir.path(), &[]);
    client.send(&upload(b"half.bin", &[1; 1000])[500..]);
    client.shutdown_write();
    assert!(client.receive_all().starts_with(b"received half.bin: 1000 bytes"));
    assert_eq!(names(dir.path()), ["half.bin"]);
}

#[test]
fn bad_headers_are_answered_and_end_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let answer = |bytes: &[u8]| {
        let mut client: Socket = server.connect();
        client.send(bytes);
        client.shutdown_write();
        String::from_utf8(client.receive_all()).unwrap()
    };
    assert!(answer(&[b'x'; 10_000]).starts_with("error: no end of the name"));
    assert!(
        answer(b"huge\n\xff\xff\xff\xff\xff\xff\xff\xff")
            .starts_with("error: the file has 18446744073709551615")
    );
    assert_eq!(answer(b"no size\n\0\0"), "");
    assert!(names(dir.path()).is_empty());
}

/// A limit on the size of files, which needs no privilege, stands for every error that a disk can report while it is written.
#[cfg(unix)]
#[test]
fn an_error_of_the_disk_is_reported_and_leaves_nothing() {
    if crate::harness::is_windows() {
        return crate::harness::not_run("Windows has no limit on the size of files");
    }
    let dir = tempfile::tempdir().unwrap();
    let program = crate::harness::command(["lab", "serve", "files", "127.0.0.1", "0", "--into"]);
    // The signal that goes with the limit has to be ignored, for the program to get an error at all.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$@""#, "sh"]);
    limited.arg(program.get_program()).args(program.get_args()).arg(dir.path());
    let server = LabServer::spawn(limited);
    let line = send(&server, b"big", &vec![0; 1 << 20]);
    assert!(line.starts_with("error: the server cannot store big: "), "{line}");
    assert!(send(&server, b"small", b"data").starts_with("received small"), "the server goes on");
    assert_eq!(names(dir.path()), ["small"]);
}

/// A real full disk: a file system of 64 KiB that only the server sees.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_leaves_nothing() {
    let namespace = ["--user", "--map-root-user", "--mount"];
    let try_it = "mount -t tmpfs -o size=64k none /mnt";
    let allowed = std::process::Command::new("unshare").args(namespace).args(["sh", "-c", try_it]).status();
    if crate::harness::is_windows() || !allowed.is_ok_and(|status| status.success()) {
        return crate::harness::not_run("needs a program for Linux and a file system of its own");
    }
    let dir = tempfile::tempdir().unwrap();
    let program = crate::harness::command(["lab", "serve", "files", "127.0.0.1", "0", "--into"]);
    let mut full = std::process::Command::new("unshare");
    full.args(namespace).args([
        "sh",
        "-c",
        r#"mount -t tmpfs -o size=64k none "$1"; shift; exec "$@""#,
        "sh",
    ]);
    full.arg(dir.path()).arg(program.get_program()).args(program.get_args()).arg(dir.path());
    let server = LabServer::spawn(full);
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let path = file.path().to_str().unwrap();
    relay(["lab", "upload", "127.0.0.1", &server.port(), path, "--name", "big"])
        .assert()
        .code(11)
        .stderr(contains("cannot store big").and(contains("space")));
    // What was written of it has gone: a file that needs most of the disk fits.
    assert!(send(&server, b"small", &[1; 50_000]).starts_with("received small"));
}

/// A server for which system calls fail as they do on file systems without them, where this machine can do that.
#[cfg(target_os = "linux")]
fn server_without(calls: &str, dir: &Path, options: &[&str]) -> Option<LabServer> {
    use crate::harness::{command, is_linux_process, not_run, python};
    let without = |program: std::process::Command| {
        let mut command = python("tests/e2e/python/without_calls.py", [calls]);
        command.arg(program.get_program()).args(program.get_args());
        command
    };
    if !is_linux_process() || !without(std::process::Command::new("true")).status().is_ok_and(|s| s.success())
    {
        not_run("needs a process of this Linux and seccomp");
        return None;
    }
    let program = command(
        ["lab", "serve", "files", "127.0.0.1", "0", "--into", dir.to_str().unwrap()].iter().chain(options),
    );
    Some(LabServer::spawn(without(program)))
}

#[cfg(target_os = "linux")]
#[test]
fn files_are_kept_and_stored_on_a_file_system_without_hard_links() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = server_without("link", dir.path(), &[]) else { return };
    assert!(send(&server, b"a", b"old").starts_with("received a: 3 bytes"));
    assert!(send(&server, b"a", b"new").starts_with("error: a exists already"));
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_cannot_keep_files_is_said_and_can_replace_them() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = server_without("link,renameat2", dir.path(), &[]) else { return };
    let line = send(&server, b"a", b"data");
    assert!(
        line.contains("neither a rename that replaces nothing nor hard links; start it with --overwrite"),
        "{line}"
    );
    assert_eq!(names(dir.path()).len(), 0);
    let Some(server) = server_without("link,renameat2", dir.path(), &["--overwrite"]) else { return };
    for data in [b"old", b"new"] {
        assert!(send(&server, b"a", data).starts_with("received a: 3 bytes"));
    }
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"new");
}
