//! Where `relay recv` writes: files that keep their mode, links, pipes.
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{FileTypeExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use crate::{
    clients::receiver,
    harness::{Process, Relay, is_windows, not_run},
};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Receives `text` into the file.
fn receive(path: &Path, text: &str) {
    let server = Relay::start();
    let mut to = receiver(&server, "to", &["--count", "1", "--output", path.to_str().unwrap()]);
    server.client("from").send_to("to", text);
    to.expect_exit(0);
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode() {
    if is_windows() {
        return not_run("the program for Windows knows no modes");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for bits in [0o600, 0o640, 0o755] {
        fs::write(&path, "what was there before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        receive(&path, "new");
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", bits));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
}

#[test]
fn a_file_may_have_the_longest_name_there_is() {
    if is_windows() {
        return not_run("a path of the program for Windows is shorter than this name");
    }
    let folder = tempfile::tempdir().unwrap();
    // With what is added to the name of a part: just short enough, too long by a byte, and the longest.
    let added = format!(".{}.part", u32::MAX).len();
    for bytes in [255 - added, 255 - added + 1, 240, 254, 255] {
        let path = folder.path().join("n".repeat(bytes));
        for text in ["first", "again"] {
            receive(&path, text);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no part is left");
    }
    let path = folder.path().join("n".repeat(256));
    let output = ["recv", "--relay", "127.0.0.1:1", "--as", "to", "--output", path.to_str().unwrap()];
    let refused = crate::harness::relay(output).assert().code(1);
    refused.stderr(predicates::str::contains("choose another name"));
}

#[test]
fn a_link_stays_one_and_leads_to_what_was_received() {
    if is_windows() {
        return not_run("the program for Windows does not see links of this system as such");
    }
    let folder = tempfile::tempdir().unwrap();
    let (there, link, second) =
        (folder.path().join("there"), folder.path().join("link"), folder.path().join("second"));
    fs::create_dir(&there).unwrap();
    // Relative to its own folder, and to a file that is not there yet.
    symlink("there/file", &link).unwrap();
    symlink(&link, &second).unwrap();
    for text in ["first", "again"] {
        receive(&second, text);
        assert_eq!(fs::read_to_string(there.join("file")).unwrap(), text);
    }
    for link in [&link, &second] {
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1, "no part is left");
}

#[test]
fn links_in_a_circle_are_a_failure() {
    if is_windows() {
        return not_run("the program for Windows does not see links of this system as such");
    }
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink("link", &link).unwrap();
    let address = server.address().to_string();
    let output = ["recv", "--relay", &address, "--as", "to", "--output", link.to_str().unwrap()];
    crate::harness::relay(output).assert().code(1);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_pipe_is_written_and_stays_one() {
    if is_windows() {
        return not_run("the program for Windows has no pipes of this system");
    }
    let folder = tempfile::tempdir().unwrap();
    let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink("pipe", &link).unwrap();
    for path in [&pipe, &link] {
        let mut cat = Command::new("cat");
        cat.arg(&pipe);
        let mut reader = Process::spawn(cat);
        receive(path, "through");
        reader.expect_exit(0);
        assert_eq!(reader.stdout(), "through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no part is left");
}

#[test]
fn a_pipe_that_nobody_opens_holds_up_no_end() {
    if let Some(why) = crate::harness::without_signals() {
        return not_run(why);
    }
    let server = Relay::start();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut to = receiver(&server, "to", &["--output", pipe.to_str().unwrap()]);
    to.signal("INT");
    to.expect_exit(1);
    assert!(to.stderr().contains("is not being read"), "{}", to.stderr());
}
