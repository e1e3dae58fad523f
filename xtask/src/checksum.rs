//! SHA-256 sums, in the form that `sha256sum --check` reads.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// The sum in hexadecimal.
pub(crate) fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line of a `.sha256` file.
pub(crate) fn line(file: &str, data: &[u8]) -> String {
    format!("{}  {file}\n", sha256(data))
}

/// Whether `line` is the sum of `data` under the name `file`.
///
/// # Errors
/// It is not; the error says why.
pub(crate) fn check(line: &str, file: &str, data: &[u8]) -> Result<()> {
    let (sum, name) =
        line.trim_end().split_once("  ").context("the checksum file is not one of sha256sum")?;
    ensure!(name == file, "the checksum file is about {name}");
    ensure!(sum == sha256(data), "the checksum is wrong: the file is damaged or has been tampered with");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(line("x", b""), format!("{empty}  x\n"));
        check(&line("x", b"data"), "x", b"data").unwrap();
    }

    #[test]
    fn another_sum_another_name_and_no_sum_at_all_are_refused() {
        assert!(check(&line("x", b"data"), "x", b"dada").is_err());
        assert!(check(&line("x", b"data"), "y", b"data").is_err());
        assert!(check("", "x", b"").is_err());
    }
}
