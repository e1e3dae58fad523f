//! Messages for names that nobody has, of one batch: counted, and reported to version 2 senders.

use crate::wire::{FromRelay, Undeliverable, encode_control};

/// Names remembered before they are reported: few, because a stranger may send to a new name with every message and each is looked
/// for among these.
const NAMES_MAX: usize = 64;

/// The longest notice for a name, besides six bytes for each of the name's: JSON escapes a byte as `\u0000`.
const NOTICE_BYTES: usize = 96;

/// The undeliverable messages of one batch.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    names: Vec<(Vec<u8>, u64)>,
    /// The name that was added last, since a sender mostly repeats it.
    last: usize,
}

impl Lost {
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether another name finds no place.
    pub(crate) fn is_full(&self) -> bool {
        self.names.len() >= NAMES_MAX
    }

    /// Bytes that the notice for a message to `name` takes at most, besides those for messages counted so far.
    pub(crate) fn notice_bytes(&mut self, name: &[u8]) -> usize {
        if self.find(name) { 0 } else { 6 * name.len() + NOTICE_BYTES }
    }

    /// Counts one message to `name`.
    pub(crate) fn add(&mut self, name: &[u8]) {
        if !self.find(name) {
            self.last = self.names.len();
            self.names.push((name.to_vec(), 0));
        }
        if let Some((_, count)) = self.names.get_mut(self.last) {
            *count += 1;
        }
    }

    /// Gives `report` what was counted, and starts over.
    pub(crate) fn drain(&mut self, mut report: impl FnMut(&[u8], u64)) {
        self.names.drain(..).for_each(|(name, count)| report(&name, count));
        self.last = 0;
    }

    /// Makes the name the last one, if it is known.
    fn find(&mut self, name: &[u8]) -> bool {
        if self.names.get(self.last).is_some_and(|(last, _)| last == name) {
            return true;
        }
        let known = self.names.iter().position(|(known, _)| known == name);
        self.last = known.unwrap_or(self.last);
        known.is_some()
    }
}

/// Appends the notice for a version 2 sender.
pub(crate) fn encode_notice(out: &mut Vec<u8>, name: &[u8], count: u64) {
    encode_control(out, &FromRelay::Undeliverable(Undeliverable::new(name, count)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_takes_no_more_than_was_said() {
        for name in [&[0x01; 255][..], &[0xff; 255], b"a", &[b'"'; 255], "é\u{7f}".as_bytes()] {
            let mut notice = Vec::new();
            encode_notice(&mut notice, name, u64::MAX);
            assert!(notice.len() <= Lost::default().notice_bytes(name), "{} for {name:?}", notice.len());
        }
    }

    #[test]
    fn names_are_counted_once_each() {
        let mut lost = Lost::default();
        for name in ["a", "a", "b", "a", "b", "c"] {
            lost.add(name.as_bytes());
        }
        assert_eq!(lost.notice_bytes(b"b"), 0);
        assert_eq!(lost.notice_bytes(b"d"), 6 + NOTICE_BYTES);
        let mut counted = Vec::new();
        lost.drain(|name, count| counted.push((name.to_vec(), count)));
        assert_eq!(counted, [(b"a".to_vec(), 3), (b"b".to_vec(), 2), (b"c".to_vec(), 1)]);
        assert!(lost.is_empty());
    }
    #[test]
    fn so_many_names_find_a_place_before_they_are_reported() {
        let mut lost = Lost::default();
        for n in 1..NAMES_MAX {
            lost.add(n.to_string().as_bytes());
            assert!(!lost.is_full(), "{n} of {NAMES_MAX}");
        }
        lost.add(b"the last");
        assert!(lost.is_full());
        // One that has its place needs none; another has to wait for the report.
        for known in [&b"1"[..], b"63", b"the last"] {
            assert_eq!(lost.notice_bytes(known), 0);
            lost.add(known);
        }
        assert!(lost.notice_bytes(b"one more") > 0);
        let mut counted = Vec::new();
        lost.drain(|name, count| counted.push((name.to_vec(), count)));
        assert_eq!(counted.len(), NAMES_MAX);
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<u64>(), NAMES_MAX as u64 + 3);
        assert!(lost.is_empty() && !lost.is_full());
        lost.add(b"one more");
        lost.drain(|name, count| assert_eq!((name, count), (&b"one more"[..], 1)));
    }
}
