//! What a program says about itself, read from its bytes and nothing else.

use anyhow::{Context, Result};
use object::{
    Architecture, BinaryFormat, File, Object,
    endian::Endianness,
    macho,
    read::{
        elf::{ElfFile, FileHeader, ProgramHeader},
        macho::{MachHeader, MachOFile64},
    },
};
use serde_json::{Value, json};

use crate::json::{Json, member, without_empty};

/// What a program is and needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `elf`, `pe` or `macho`.
    pub(crate) format: String,
    /// The processor, with its byte order.
    pub(crate) architecture: String,
    /// The libraries of the system that it asks for, sorted; a static program has none.
    pub(crate) libraries: Vec<String>,
    /// The loader that a program for Linux asks for; a static one has none.
    pub(crate) loader: Option<String>,
    /// The oldest system that starts it, where the file says.
    pub(crate) minimum_os: Option<String>,
}

impl Json for Facts {
    fn to_json(&self) -> Value {
        let Self { format, architecture, libraries, loader, minimum_os } = self;
        let object = json!({
            "format": format, "architecture": architecture, "libraries": libraries, "loader": loader,
            "minimum_os": minimum_os,
        });
        without_empty(object, &["loader", "minimum_os"])
    }

    fn of_json(value: &Value) -> Result<Self> {
        Ok(Self {
            format: member(value, "format")?,
            architecture: member(value, "architecture")?,
            libraries: member(value, "libraries")?,
            loader: member(value, "loader")?,
            minimum_os: member(value, "minimum_os")?,
        })
    }
}

/// Reads the facts.
///
/// # Errors
/// The bytes are no program, or a damaged one.
pub(crate) fn read(program: &[u8]) -> Result<Facts> {
    let file = File::parse(program).context("it is not a program")?;
    let mut libraries = Vec::new();
    for library in file.import_libraries()? {
        libraries.push(String::from_utf8_lossy(library?.name()).into_owned());
    }
    libraries.sort();
    libraries.dedup();
    let (loader, minimum_os) = match &file {
        File::Elf32(elf) => (loader(elf)?, None),
        File::Elf64(elf) => (loader(elf)?, None),
        File::MachO64(macho) => (None, minimum_macos(macho)?),
        _ => (None, None),
    };
    let format = match file.format() {
        BinaryFormat::Elf => "elf",
        BinaryFormat::Pe => "pe",
        BinaryFormat::MachO => "macho",
        _ => "unknown",
    };
    let architecture = architecture(file.architecture(), file.is_little_endian());
    Ok(Facts { format: format.to_owned(), architecture, libraries, loader, minimum_os })
}

fn architecture(architecture: Architecture, is_little_endian: bool) -> String {
    let order = if is_little_endian { "little endian" } else { "big endian" };
    format!("{architecture:?}, {order}")
}

/// What the program of a platform must be: its format, and its processor as [`Facts`] has it.
pub(crate) fn expected(triple: &str) -> (&'static str, String) {
    let format = match triple {
        _ if triple.contains("-windows-") => "pe",
        _ if triple.contains("-apple-") => "macho",
        _ => "elf",
    };
    let processor = match triple.split('-').next().unwrap_or_default() {
        "x86_64" => Architecture::X86_64,
        "i686" => Architecture::I386,
        "aarch64" => Architecture::Aarch64,
        "armv7" | "arm" => Architecture::Arm,
        "riscv64gc" => Architecture::Riscv64,
        "s390x" => Architecture::S390x,
        _ => Architecture::Unknown,
    };
    (format, architecture(processor, processor != Architecture::S390x))
}

fn loader<Elf: FileHeader<Endian = Endianness>>(elf: &ElfFile<'_, Elf>) -> Result<Option<String>> {
    for segment in elf.elf_program_headers() {
        if let Some(name) = segment.interpreter(elf.endian(), elf.data())? {
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(None)
}

fn minimum_macos(file: &MachOFile64<'_>) -> Result<Option<String>> {
    let (header, endian) = (file.macho_header(), file.endian());
    let mut commands = header.load_commands(endian, file.data(), 0)?;
    while let Some(command) = commands.next()? {
        let version = if let Some((build, _)) = command.build_version(endian)? {
            build.minos.get(endian)
        } else if command.cmd() == macho::LC_VERSION_MIN_MACOSX {
            command.data::<macho::VersionMinCommand<Endianness>>()?.version.get(endian)
        } else {
            continue;
        };
        return Ok(Some(format!("{}.{}", version.major(), version.minor())));
    }
    Ok(None)
}
