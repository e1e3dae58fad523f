//! The code signature of a program for macOS: on ARM the system starts nothing whose pages do not have the hashes that it names.

use anyhow::{Context, Result, ensure};
use object::{
    BigEndian, File, macho,
    read::macho::{CodeDirectory, CodeSignature, MachHeader, MachOFile64},
};
use sha2::{Digest, Sha256};

/// The `flags` of a code directory that was signed by nobody in particular.
const ADHOC: u32 = 0x2;
/// The `hash_type` of SHA-256.
const SHA256: u8 = 2;

/// Whether the program carries a signature that fits every page of it.
///
/// # Errors
/// It has none, or a page has changed since it was signed.
pub(crate) fn check(program: &[u8]) -> Result<()> {
    let File::MachO64(file) = File::parse(program)? else { anyhow::bail!("it is no program for macOS") };
    let signature = find(&file)?.context("it is not signed; macOS on ARM does not start it")?;
    let mut checked = 0;
    for blob in signature.blobs() {
        if let Some(directory) = blob?.code_directory()? {
            pages(&directory, program)?;
            checked += 1;
        }
    }
    ensure!(checked > 0, "its signature names no hashes");
    Ok(())
}

fn find<'data>(file: &MachOFile64<'data>) -> Result<Option<CodeSignature<'data>>> {
    let (header, endian) = (file.macho_header(), file.endian());
    let mut commands = header.load_commands(endian, file.data(), 0)?;
    while let Some(command) = commands.next()? {
        if command.cmd() == macho::LC_CODE_SIGNATURE {
            let place = command.data::<macho::LinkeditDataCommand<_>>()?;
            return Ok(Some(place.code_signature(endian, file.data())?));
        }
    }
    Ok(None)
}

fn pages(directory: &CodeDirectory<'_>, program: &[u8]) -> Result<()> {
    let header = directory.header();
    ensure!(header.hash_type == macho::CsHashType(SHA256), "its signature is not made of SHA-256 hashes");
    ensure!(header.flags.get(BigEndian).0 & ADHOC != 0, "its signature is not an ad-hoc one");
    let limit: usize = directory.code_limit().try_into()?;
    let signed = program.get(..limit).context("its signature covers more than there is")?;
    let page_bytes =
        1_usize.checked_shl(header.page_size.into()).context("its signature has no page size")?;
    let slots = header.n_code_slots.get(BigEndian) as usize;
    ensure!(signed.len().div_ceil(page_bytes) == slots, "its signature does not cover every page");
    for (number, page) in signed.chunks(page_bytes).enumerate() {
        let hash = directory.code_hash(number.try_into()?)?;
        ensure!(Sha256::digest(page).as_slice() == hash, "page {number} has changed since it was signed");
    }
    Ok(())
}
