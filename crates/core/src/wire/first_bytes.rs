//! What a connection speaks, recognized by its first bytes before anything else is read from them.

/// The methods of HTTP, each with the space behind it: those in IANA's registry, and that of the preface of HTTP/2.
const METHODS: [&[u8]; 40] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI ",
    b"QUERY ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"ACL ",
    b"BASELINE-CONTROL ",
    b"BIND ",
    b"CHECKIN ",
    b"CHECKOUT ",
    b"LABEL ",
    b"LINK ",
    b"MERGE ",
    b"MKACTIVITY ",
    b"MKCALENDAR ",
    b"MKREDIRECTREF ",
    b"MKWORKSPACE ",
    b"ORDERPATCH ",
    b"REBIND ",
    b"REPORT ",
    b"SEARCH ",
    b"UNBIND ",
    b"UNCHECKOUT ",
    b"UNLINK ",
    b"UPDATE ",
    b"UPDATEREDIRECTREF ",
    b"VERSION-CONTROL ",
];

/// The first byte of a TLS record with a handshake, and the first of the record's version.
const TLS: [u8; 2] = [0x16, 0x03];

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// A TLS handshake: `16 03`.
    Tls,
    /// A request of HTTP: one of its methods and a space.
    Http,
    /// A control frame: `|`.
    Version2,
    /// Anything else is a name of version 1.
    Version1,
}

impl FirstBytes {
    /// What a connection speaks that began with `received`; `None` until enough of it has come. More bytes never change an answer.
    pub fn recognize(received: &[u8]) -> Option<Self> {
        // One beginning decides, and the beginning of one waits.
        let starts = |whole: &[u8]| received.starts_with(whole);
        let may_become = |whole: &[u8]| whole.starts_with(received);
        if starts(b"|") {
            Some(Self::Version2)
        } else if starts(&TLS) {
            Some(Self::Tls)
        } else if METHODS.iter().any(|method| starts(method)) {
            Some(Self::Http)
        } else if may_become(&TLS) || METHODS.iter().any(|method| may_become(method)) {
            None
        } else {
            Some(Self::Version1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tls_and_http_are_never_a_name() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"|", Some(FirstBytes::Version2)),
            (b"\x16", None),
            (b"\x16\x03", Some(FirstBytes::Tls)),
            (b"\x16\x02", Some(FirstBytes::Version1)),
            (b"\x16|", Some(FirstBytes::Version1)),
            (b"G", None),
            (b"GET", None),
            (b"GET ", Some(FirstBytes::Http)),
            (b"GET /?|device_b|5|hello HTTP/1.1", Some(FirstBytes::Http)),
            (b"PRI * HTTP/2.0\r\n\r\n", Some(FirstBytes::Http)),
            (b"PROP", None),
            (b"PROPFIND ", Some(FirstBytes::Http)),
        ] {
            assert_eq!(FirstBytes::recognize(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    /// The list is here a second time, so that a method which is taken out of the other is missed.
    #[test]
    fn every_registered_method_is_one() {
        let methods = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR \
            MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE \
            UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL";
        for method in methods.split_whitespace() {
            let request = format!("{method} /?|device_b|5|hello HTTP/1.1");
            assert_eq!(FirstBytes::recognize(request.as_bytes()), Some(FirstBytes::Http), "{method}");
            let name = format!("{method}|");
            assert_eq!(FirstBytes::recognize(name.as_bytes()), Some(FirstBytes::Version1), "{method}");
        }
        assert_eq!(methods.split_whitespace().count(), METHODS.len());
    }

    #[test]
    fn a_name_may_be_a_method_or_begin_like_one() {
        for name in [
            "GET|",
            "GETTER|",
            "GET_1|",
            "GET\t|",
            "get |",
            "Get |",
            "POSTER a|",
            "UNLOCKED|",
            "x GET |",
            " GET |",
        ] {
            assert_eq!(FirstBytes::recognize(name.as_bytes()), Some(FirstBytes::Version1), "{name}");
        }
    }

    proptest! {
        /// Whatever arrives first, the answer is the one that the whole gives, and it stays.
        #[test]
        fn the_answer_does_not_depend_on_the_split(
            method in 0..METHODS.len(),
            keep in 0..20_usize,
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let method = METHODS[method];
            let bytes = [&method[..keep.min(method.len())], &behind].concat();
            let mut answer = None;
            for end in 0..=bytes.len() {
                let now = FirstBytes::recognize(&bytes[..end]);
                prop_assert!(answer.is_none() || now == answer, "{:?} became {:?}", answer, now);
                answer = now;
            }
        }

        /// A name that has arrived as a whole is always recognized, and as what it begins with.
        #[test]
        fn a_whole_name_waits_for_nothing(name in proptest::collection::vec(any::<u8>(), 1..40)) {
            let bytes = [&name[..], b"|"].concat();
            prop_assert!(FirstBytes::recognize(&bytes).is_some());
        }
    }
}
