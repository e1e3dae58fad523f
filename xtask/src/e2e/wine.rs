//! Programs for Windows under wine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::runner::{Keeper, Running, folder, in_path};
use crate::tools::{Tools, ZIG};

/// Where Debian keeps it when only the 64-bit half is installed.
const DEBIANS: &str = "/usr/lib/wine/wine64";

/// Every Rust program for Windows imports this function from this library, which wine before 9 does not have. The library is a
/// test aid: it lies beside the unpacked program and is in no archive.
const RANDOM_LIBRARY: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = r#"
unsigned char __stdcall SystemFunction036(void *buffer, unsigned long length);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, unsigned long long length) {
  while (length > 0) {
    unsigned long piece = length > 0x10000000 ? 0x10000000 : (unsigned long)length;
    if (!SystemFunction036(buffer, piece)) return 0;
    buffer += piece;
    length -= piece;
  }
  return 1;
}
"#;

/// wine itself, if it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    in_path("wine64").or_else(|| Some(PathBuf::from(DEBIANS)).filter(|file| file.is_file()))
}

/// Gets wine ready to run what lies in `program_folder`.
///
/// # Errors
/// wine is not installed or does not start.
pub(super) fn prepare(sh: &Shell, program_folder: &Path) -> Result<Running> {
    let wine = program()
        .context("wine is not installed; `cargo xtask doctor --install` or `apt install wine64` does it")?;
    let prefix = folder("wine");
    let variables =
        vec![("WINEPREFIX", prefix.clone()), ("WINEDEBUG", "-all".into()), ("DISPLAY", "".into())];
    if !prefix.join("system.reg").is_file() {
        println!("Setting wine up in {}", crate::project::shown(&prefix));
        fs::create_dir_all(&prefix)?;
        let mut setup = Command::new(&wine);
        setup.args(["wineboot", "--init"]).envs(variables.iter().cloned());
        let output = setup.output()?;
        ensure!(output.status.success(), "wine does not start: {}", String::from_utf8_lossy(&output.stderr));
    }
    random_library(sh, program_folder)?;
    end_server(&wine, &variables);
    Ok(Running {
        patience: 6,
        shown: "wine".to_owned(),
        // wine 8's server now and then uses a socket that it has freed, when a program with connections ends (`sock_poll_event` in its
        // sock.c, seen with an address sanitizer): it then forgets to close others, or crashes, and every program ends with it.
        fails_by_itself: true,
        keeper: Some(keeper(&wine, &variables)?),
        words: vec![wine.to_string_lossy().into_owned()],
        variables,
    })
}

/// Ends the server that may be left of another run in the same folder, with all that it forgot.
fn end_server(wine: &Path, variables: &[(&'static str, PathBuf)]) {
    let server = in_path("wineserver").unwrap_or_else(|| wine.with_file_name("wineserver"));
    for argument in ["--kill", "--wait"] {
        let mut command = Command::new(&server);
        command.arg(argument).envs(variables.iter().cloned()).stdout(Stdio::null()).stderr(Stdio::null());
        // There may be none.
        let _ = command.status();
    }
}

/// The first program that runs starts wine's services, which hold on to its output for as long as any program runs. Here that is
/// one which waits for a line that never comes, so that the output of those to be tested ends when they do.
fn keeper(wine: &Path, variables: &[(&'static str, PathBuf)]) -> Result<Keeper> {
    let mut command = Command::new(wine);
    command.args(["cmd", "/c", "pause"]).envs(variables.iter().cloned());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Keeper(command.spawn().context("wine does not start")?))
}

fn random_library(sh: &Shell, program_folder: &Path) -> Result<()> {
    let (source, library) = (program_folder.join("random.c"), program_folder.join(RANDOM_LIBRARY));
    fs::write(&source, RANDOM_SOURCE)?;
    let zig = Tools::with(sh, &[ZIG])?.zig(sh)?;
    cmd!(sh, "{zig} cc -target x86_64-windows-gnu -shared -O2 -o {library} {source} -ladvapi32")
        .quiet()
        .run()
        .context("the library that old wines lack does not build")
}
