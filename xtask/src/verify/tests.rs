//! What must not be published is not.

use std::{fs, path::PathBuf};

use super::{Folders, facts, program, shipped, shipped::EXPECTED, signature};
use crate::{
    archive::{self, Entry},
    checksum,
    release::{Program, Shipped, Sum, tests::shipped as some_shipped},
    targets::{self, Target},
};

/// A 64-bit ELF header and nothing else: the smallest static program there is.
fn elf(machine: u16, is_big_endian: bool) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, if is_big_endian { 2 } else { 1 }, 1];
    bytes.resize(16, 0);
    let mut put = |value: u64, size: usize| {
        let big = value.to_be_bytes();
        let little = value.to_le_bytes();
        bytes.extend_from_slice(if is_big_endian { &big[8 - size..] } else { &little[..size] });
    };
    for (value, size) in [
        (2, 2),
        (machine.into(), 2),
        (1, 4),
        (0, 8),
        (0, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (0, 2),
        (64, 2),
        (0, 2),
        (0, 2),
    ] {
        put(value, size);
    }
    bytes
}

/// An x64 program.
fn x64() -> Vec<u8> {
    elf(62, false)
}

/// A program for macOS on ARM with an ad-hoc signature over two pages.
fn signed() -> Vec<u8> {
    const PAGE: usize = 4096;
    let signed_bytes = PAGE + 100;
    let ident = b"relay\0";
    let hash_offset = 44 + ident.len();
    let directory_bytes = hash_offset + 2 * 32;
    let superblob_bytes = 20 + directory_bytes;
    let mut code = Vec::new();
    let words =
        |code: &mut Vec<u8>, words: &[u32]| words.iter().for_each(|word| code.extend(word.to_le_bytes()));
    // Header: magic, ARM64, subtype, executable, two commands of so many bytes, flags.
    words(&mut code, &[0xfeed_facf, 0x0100_000c, 0, 2, 2, 24 + 16, 0, 0]);
    // Oldest macOS 11.0.
    words(&mut code, &[0x32, 24, 1, 11 << 16, 11 << 16, 0]);
    words(&mut code, &[0x1d, 16, signed_bytes as u32, superblob_bytes as u32]);
    code.resize(signed_bytes, 7);
    let mut signature = Vec::new();
    let big = |bytes: &mut Vec<u8>, words: &[usize]| {
        words.iter().for_each(|word| bytes.extend((*word as u32).to_be_bytes()));
    };
    big(&mut signature, &[0xfade_0cc0, superblob_bytes, 1, 0, 20]);
    big(&mut signature, &[0xfade_0c02, directory_bytes, 0x20001, 2, hash_offset, 44, 0, 2, signed_bytes]);
    signature.extend([32, 2, 0, 12, 0, 0, 0, 0]);
    signature.extend(ident);
    for page in code.chunks(PAGE) {
        use sha2::Digest;
        signature.extend(sha2::Sha256::digest(page));
    }
    code.extend(signature);
    code
}

fn nowhere() -> Folders {
    Folders::new([])
}

fn problems(target: &Target, bytes: &[u8]) -> Vec<String> {
    program(target, bytes, &nowhere()).1
}

fn find(triple: &str) -> &'static Target {
    targets::find(triple).unwrap()
}

/// Asserts that there is exactly one problem, and that it has these words.
#[track_caller]
fn only(problems: &[String], words: &str) {
    assert!(problems.len() == 1 && problems[0].contains(words), "{problems:?}");
}

#[test]
fn a_static_program_for_the_right_machine_may_ship() {
    assert!(problems(find("x86_64-unknown-linux-musl"), &x64()).is_empty());
    assert!(problems(find("s390x-unknown-linux-musl"), &elf(22, true)).is_empty());
    assert!(problems(find("aarch64-apple-darwin"), &signed()).is_empty());
}

#[test]
fn a_program_for_another_machine_may_not() {
    only(&problems(find("aarch64-unknown-linux-musl"), &x64()), "another machine");
    only(&problems(find("s390x-unknown-linux-musl"), &elf(22, false)), "another machine");
    assert!(problems(find("x86_64-pc-windows-gnu"), &x64())[0].contains("another machine"));
    only(&problems(find("x86_64-unknown-linux-musl"), b"#!/bin/sh"), "not a program");
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn a_program_that_needs_the_systems_libraries_may_not_ship_for_linux() {
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    let target = Target { budget_bytes: u64::MAX, ..*find("x86_64-unknown-linux-musl") };
    let problems = problems(&target, &this);
    assert!(problems.iter().any(|problem| problem.contains("not static")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("libc.so.6")), "{problems:?}");
}

#[test]
fn a_program_over_its_budget_may_not_ship() {
    let mut large = x64();
    large.resize(2_000_001, 0);
    only(&problems(find("x86_64-unknown-linux-musl"), &large), "larger than its budget");
    large.pop();
    assert!(problems(find("x86_64-unknown-linux-musl"), &large).is_empty());
}

#[test]
fn a_program_that_names_a_folder_of_its_builder_may_not_ship() {
    let folders = Folders::new([PathBuf::from("/home/someone"), PathBuf::from("/")]);
    let leaking = [x64(), b"\0/home/someone/relay/src/main.rs\0".to_vec()].concat();
    let target = find("x86_64-unknown-linux-musl");
    only(&program(target, &leaking, &folders).1, "/home/someone/relay/src/main.rs");
    let fine = [x64(), b"\0/home/someoneelse /cargo/clap/src/lib.rs\0".to_vec()].concat();
    assert!(program(target, &fine, &folders).1.is_empty());
}

#[test]
fn a_signature_that_does_not_fit_a_page_or_is_missing_is_found() {
    let target = find("aarch64-apple-darwin");
    let mut changed = signed();
    changed[4096 + 50] ^= 1;
    only(&problems(target, &changed), "page 1 has changed");
    let mut unsigned = signed();
    // The command that points to the signature becomes one that nobody knows.
    unsigned[32 + 24] = 0x70;
    only(&problems(target, &unsigned), "not signed");
    signature::check(&signed()).unwrap();
}

#[test]
fn the_oldest_macos_is_the_promised_one() {
    let mut newer = signed();
    newer[32 + 14] = 13;
    let problems = problems(find("aarch64-apple-darwin"), &newer);
    assert!(problems.iter().any(|problem| problem.contains("13.0 instead of 11.0")), "{problems:?}");
}

/// A folder with the files of an x64 Linux, as they should be.
fn published() -> (tempfile::TempDir, Shipped) {
    let target = find("x86_64-unknown-linux-musl");
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &&str| Entry { path: (*path).into(), data: b"text".to_vec(), executable: false };
    let mut entries: Vec<Entry> = EXPECTED.iter().map(file).collect();
    entries.push(Entry { path: "relay".into(), data: x64(), executable: true });
    let shipped = publish(target, &folder, entries, &x64());
    (folder, shipped)
}

fn publish(target: &Target, folder: &tempfile::TempDir, entries: Vec<Entry>, relay: &[u8]) -> Shipped {
    let packed = archive::pack(target.archive, &target.folder(), entries, 1).unwrap();
    let name = target.archive_file();
    fs::write(folder.path().join(&name), &packed).unwrap();
    fs::write(folder.path().join(format!("{name}.sha256")), checksum::line(&name, &packed)).unwrap();
    Shipped {
        archive: Sum::of(name, &packed),
        program: Program { sum: Sum::of("relay", relay), facts: facts::read(relay).unwrap() },
        ..some_shipped(target.triple, b"")
    }
}

fn judge(folder: &tempfile::TempDir, published: &Shipped) -> Vec<String> {
    shipped(find("x86_64-unknown-linux-musl"), published, folder.path(), &nowhere())
}

#[test]
fn a_tampered_archive_is_found() {
    let (folder, published) = published();
    assert!(judge(&folder, &published).is_empty());
    let path = folder.path().join(&published.archive.file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let problems = judge(&folder, &published);
    assert!(
        problems.iter().any(|problem| problem.contains("not the file that release.json knows")),
        "{problems:?}"
    );
    assert!(problems.iter().any(|problem| problem.contains("checksum is wrong")), "{problems:?}");
    fs::remove_file(&path).unwrap();
    assert!(judge(&folder, &published).iter().any(|problem| problem.contains("missing")));
}

#[test]
fn a_wrong_checksum_is_found() {
    let (folder, published) = published();
    let path = folder.path().join(format!("{}.sha256", published.archive.file));
    fs::write(&path, checksum::line(&published.archive.file, b"another file")).unwrap();
    only(&judge(&folder, &published), "checksum is wrong");
    fs::remove_file(path).unwrap();
    only(&judge(&folder, &published), "no checksum file");
}

#[test]
fn a_program_for_another_machine_in_the_right_archive_is_found() {
    let (folder, _published) = published();
    let file = |path: &&str| Entry { path: (*path).into(), data: b"text".to_vec(), executable: false };
    let mut entries: Vec<Entry> = EXPECTED.iter().map(file).collect();
    let arm = elf(183, false);
    entries.push(Entry { path: "relay".into(), data: arm.clone(), executable: true });
    let published = publish(find("x86_64-unknown-linux-musl"), &folder, entries, &arm);
    only(&judge(&folder, &published), "another machine");
}

#[test]
fn an_archive_without_its_documents_is_found() {
    let (folder, _published) = published();
    let relay = Entry { path: "relay".into(), data: x64(), executable: true };
    let published = publish(find("x86_64-unknown-linux-musl"), &folder, vec![relay], &x64());
    assert!(judge(&folder, &published)[0].contains("LICENSE-APACHE"));
}
