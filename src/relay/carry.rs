//! Received bytes that have to wait: the start of a frame, or all that came behind a blocked one.

/// Bytes that are kept between two reads. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(super) struct Carry {
    data: Vec<u8>,
    /// How much of `data` has been used up.
    start: usize,
}

impl From<Vec<u8>> for Carry {
    fn from(data: Vec<u8>) -> Self {
        Self { data, start: 0 }
    }
}

impl Carry {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.data[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.data.len() - self.start
    }

    /// What is left when `used` bytes are used up. Nothing is moved: a sender that is blocked again and again must not copy the rest
    /// each time.
    pub(super) fn after(mut self, used: usize) -> Self {
        self.start += used;
        if self.start < self.data.len() { self } else { Self::default() }
    }

    /// Keeps a copy of `rest` in place of what was here.
    pub(super) fn replace(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            *self = Self::default();
        } else {
            self.data.clear();
            self.data.extend_from_slice(rest);
            self.start = 0;
        }
    }

    /// Adds bytes behind what is here.
    pub(super) fn push(&mut self, more: &[u8]) {
        if self.start > 0 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.extend_from_slice(more);
    }
}
