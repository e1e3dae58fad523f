//! Bytes as Python shows them.

use std::fmt::{self, Write};

/// Shows bytes exactly as Python 3's `repr` does: `b'hello'`, with double quotes where single ones are inside and double ones are not.
#[derive(Debug, Clone, Copy)]
pub struct PythonBytes<'a>(pub &'a [u8]);

impl fmt::Display for PythonBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains(&b'\'') && !self.0.contains(&b'"') { '"' } else { '\'' };
        write!(f, "b{quote}")?;
        for &byte in self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b'\t' => f.write_str("\\t")?,
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                _ if char::from(byte) == quote => write!(f, "\\{quote}")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_char(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_look_as_in_python() {
        let shown = |bytes: &[u8]| PythonBytes(bytes).to_string();
        assert_eq!(shown(b"hello"), "b'hello'");
        assert_eq!(shown(b""), "b''");
        assert_eq!(shown(b"it's"), "b\"it's\"");
        assert_eq!(shown(b"'\""), "b'\\'\"'");
        assert_eq!(shown("é\t\n\r\\\0".as_bytes()), "b'\\xc3\\xa9\\t\\n\\r\\\\\\x00'");
        assert_eq!(shown(b"\x7f\x1b "), "b'\\x7f\\x1b '");
    }
}
