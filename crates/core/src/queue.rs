//! Bytes that wait for a socket: a queue of chunks that owns no memory while it is empty.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::{Mutex, PoisonError},
};

/// Size of a pooled chunk: large enough for one write to be worth its system call.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks kept for reuse, 4 MiB in all: what a few busy recipients use, and no more than a Raspberry Pi can spare.
const POOL_CHUNKS_MAX: usize = 64;

/// A remainder below this gets a chunk of its own size: thousands of idle clients with a few bytes waiting must not hold a
/// pooled chunk each.
const SMALL_BYTES: usize = 4 << 10;

static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A first-in-first-out queue of bytes. Empty, it is a null pointer: thousands of clients have one, and nothing waits for most.
#[derive(Debug, Default)]
pub struct ByteQueue(Option<Box<Chunks>>);

#[derive(Debug, Default)]
struct Chunks {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    data: Vec<u8>,
    /// How much of `data` has left already.
    read: usize,
}

impl ByteQueue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Appends a copy of `data`.
    pub fn push(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.0.get_or_insert_default().push(data);
        }
    }

    /// Appends copies of all `slices`.
    pub fn extend(&mut self, slices: &[IoSlice<'_>]) {
        slices.iter().for_each(|slice| self.push(slice));
    }

    /// Moves everything of `other` behind what is here.
    pub fn append(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (_, None) => {}
            (empty @ None, other) => *empty = other,
            (Some(queue), Some(mut other)) => {
                queue.bytes += std::mem::take(&mut other.bytes);
                queue.chunks.append(&mut other.chunks);
            }
        }
    }

    /// Fills `slices` from the front of the queue and says how many were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, chunk) in slices.iter_mut().zip(self.0.iter().flat_map(|queue| &queue.chunks)) {
            *slot = IoSlice::new(&chunk.data[chunk.read..]);
            used += 1;
        }
        used
    }

    /// Removes `n` bytes from the front; an emptied queue gives its memory back.
    pub fn consume(&mut self, n: usize) {
        if let Some(queue) = &mut self.0 {
            queue.consume(n);
            if queue.bytes == 0 {
                self.0 = None;
            }
        }
    }
}

impl Chunks {
    fn push(&mut self, mut data: &[u8]) {
        self.bytes += data.len();
        while !data.is_empty() {
            let room = self.chunks.back().map_or(0, |last| last.data.capacity() - last.data.len());
            if room == 0 {
                let first_and_small = self.chunks.is_empty() && data.len() < SMALL_BYTES;
                let chunk = if first_and_small { Vec::with_capacity(data.len()) } else { pooled() };
                self.chunks.push_back(Chunk { data: chunk, read: 0 });
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            if let Some(last) = self.chunks.back_mut() {
                last.data.extend_from_slice(now);
            }
            data = later;
        }
    }

    fn consume(&mut self, mut n: usize) {
        self.bytes -= n;
        while let Some(front) = self.chunks.front_mut() {
            let left = front.data.len() - front.read;
            if n < left {
                front.read += n;
                return;
            }
            n -= left;
            if let Some(chunk) = self.chunks.pop_front() {
                recycle(chunk.data);
            }
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.chunks.drain(..).for_each(|chunk| recycle(chunk.data));
    }
}

fn pooled() -> Vec<u8> {
    let kept = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
    kept.unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))
}

fn recycle(mut chunk: Vec<u8>) {
    if chunk.capacity() != CHUNK_BYTES {
        return;
    }
    chunk.clear();
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.len() < POOL_CHUNKS_MAX {
        pool.push(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(queue: &ByteQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = queue.slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn bytes_leave_in_the_order_they_came_across_chunks() {
        let mut queue = ByteQueue::default();
        let data: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        for piece in data.chunks(777) {
            queue.push(piece);
        }
        assert_eq!((queue.len(), content(&queue)), (data.len(), data.clone()));
        queue.consume(100_001);
        assert_eq!(content(&queue), data[100_001..]);
        let mut tail = ByteQueue::default();
        tail.push(b"tail");
        queue.append(tail);
        queue.consume(99_999);
        assert_eq!(content(&queue), b"tail");
        queue.consume(4);
        assert!(queue.is_empty() && queue.0.is_none(), "an empty queue owns nothing");
    }
}
