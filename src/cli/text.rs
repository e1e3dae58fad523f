//! Files that a person wrote with some editor, of which a few put a mark before the text that says how it is encoded.

/// The mark of UTF-8.
const UTF_8: &[u8] = b"\xef\xbb\xbf";

/// The marks of UTF-16, which Notepad and PowerShell write. UTF-32 begins with one of them, too.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The text is in UTF-16.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is in UTF-16; save it as UTF-8")]
pub(super) struct IsUtf16;

/// The text of a file, without the mark before it.
///
/// # Errors
/// It is in UTF-16.
pub(super) fn without_mark(mut bytes: Vec<u8>) -> Result<Vec<u8>, IsUtf16> {
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(IsUtf16);
    }
    if bytes.starts_with(UTF_8) {
        bytes.drain(..UTF_8.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        assert_eq!(without_mark(b"\xef\xbb\xbfsecret".to_vec()), Ok(b"secret".to_vec()));
        assert_eq!(without_mark(b"secret\xef\xbb\xbf".to_vec()), Ok(b"secret\xef\xbb\xbf".to_vec()));
        assert_eq!(without_mark(b"\xef\xbb".to_vec()), Ok(b"\xef\xbb".to_vec()));
        assert_eq!(without_mark(Vec::new()), Ok(Vec::new()));
        for utf_16 in [&b"\xff\xfes\0"[..], b"\xfe\xff\0s"] {
            assert_eq!(without_mark(utf_16.to_vec()), Err(IsUtf16));
        }
    }
}
