//! File names that strangers send, reduced to plain ones that mean the same file on every system.

/// What every unfinished upload's name begins with; nobody else gets such a name.
pub(super) const PARTIAL_PREFIX: &str = ".relay-upload-";

/// What a file is called whose name leaves nothing.
const NAMELESS: &str = "unnamed";

/// The longest name that the file systems of all our platforms take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest extension that is kept when a name has to be shortened, with its dot, in bytes.
const EXTENSION_BYTES_MAX: usize = 16;

/// Names of devices on Windows, with any extension and in any case.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Reduces `sent` to the name of a file in one directory: no path, no device, nothing a file system or a terminal takes for more
/// than a name. The same on every platform. Never empty, at most 255 bytes.
pub fn plain_name(sent: &[u8]) -> String {
    let text = String::from_utf8_lossy(sent);
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().map(|c| if is_reserved(c) { '_' } else { c }).collect();
    // Windows drops trailing dots and spaces silently, and two names would be one file. `.` and `..` leave nothing.
    let clean = clean.trim_start_matches(' ').trim_end_matches(['.', ' ']);
    if clean.is_empty() {
        return NAMELESS.to_owned();
    }
    let is_partial =
        clean.get(..PARTIAL_PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PARTIAL_PREFIX));
    let harmless = if is_device(clean) || is_partial { format!("_{clean}") } else { clean.to_owned() };
    shortened(&harmless)
}

/// What no file name may contain on one system or another, and what reorders or steers a terminal.
fn is_reserved(c: char) -> bool {
    c.is_control()
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    if DEVICES.contains(&stem.as_str()) {
        return true;
    }
    // Windows takes the superscript digits for digits here.
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|n| {
        matches!(n.chars().next(), Some('0'..='9' | '¹' | '²' | '³')) && n.chars().count() == 1
    })
}

fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let extension =
        name.rfind('.').filter(|dot| *dot > 0).and_then(|dot| name.get(dot..)).unwrap_or_default();
    let extension = if extension.len() <= EXTENSION_BYTES_MAX { extension } else { "" };
    let mut end = NAME_BYTES_MAX - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let stem = name.get(..end).unwrap_or_default();
    format!("{}{extension}", stem.trim_end_matches(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_reduced_to_plain_ones() {
        for (sent, plain) in [
            ("report.pdf", "report.pdf"),
            ("Übung 1.txt", "Übung 1.txt"),
            (".profile", ".profile"),
            ("/etc/passwd", "passwd"),
            ("../../up.txt", "up.txt"),
            (r"C:\Windows\system.ini", "system.ini"),
            (r"\\server\share\x", "x"),
            ("C:evil.txt", "C_evil.txt"),
            ("file.txt:stream", "file.txt_stream"),
            ("..", "unnamed"),
            (".", "unnamed"),
            ("", "unnamed"),
            ("dir/", "unnamed"),
            ("...", "unnamed"),
            (" . .", "unnamed"),
            ("a\0b", "a_b"),
            ("a\x1b[2Jb\r", "a_[2Jb_"),
            ("what?*<>|\"", "what______"),
            ("trailing. . ", "trailing"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("Nul .tar.gz", "_Nul .tar.gz"),
            ("COM1.txt", "_COM1.txt"),
            ("com¹", "_com¹"),
            ("LPT9", "_LPT9"),
            ("COM10", "COM10"),
            ("CONSOLE", "CONSOLE"),
            (".Relay-Upload-x", "_.Relay-Upload-x"),
            ("gnp.\u{202e}exe", "gnp._exe"),
        ] {
            assert_eq!(plain_name(sent.as_bytes()), plain, "{sent:?}");
        }
        assert_eq!(plain_name(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn long_names_keep_their_beginning_and_extension() {
        let name = plain_name(format!("{}.tar", "x".repeat(300)).as_bytes());
        assert_eq!(name, format!("{}.tar", "x".repeat(251)));
        assert_eq!(plain_name("é".repeat(200).as_bytes()), "é".repeat(127));
        assert_eq!(plain_name(format!("a.{}", "b".repeat(300)).as_bytes()).len(), 255);
        assert_eq!(plain_name(&[b'a'; 300]).len(), 255);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_plain_name(sent in prop::collection::vec(any::<u8>(), 0..600)) {
            let name = plain_name(&sent);
            prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
            prop_assert!(!name.contains(['/', '\\', '\0', ':', '\n']));
            prop_assert!(!name.ends_with(['.', ' ']));
            prop_assert!(!is_device(&name) && !name.starts_with(PARTIAL_PREFIX));
            prop_assert_eq!(plain_name(name.as_bytes()), name, "a plain name stays as it is");
        }
    }
}
