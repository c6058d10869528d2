//! The answer of a request that runs, as far as it has come. All of it is kept, up to a bound; beyond, only what its readers
//! have still to read, and nobody may begin to read any more.

use super::{head::Head, refusal::Refusal};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use wire::numbering::Part;

/// What a reader may lag behind once the log is over its bound, in bytes.
const WINDOW_BYTES: usize = 64 << 10;

/// Bytes that may be kept.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) log_bytes: usize,
    pub(super) all_bytes: usize,
    /// Of all logs together, now.
    pub(super) held: Arc<AtomicUsize>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The connection has to break, so that nobody takes a part for all.
    Cut,
}

/// Names a reader.
pub(super) type ReaderId = u64;

#[derive(Debug)]
struct Reader {
    /// The next part, counted from the first of all.
    at: usize,
    /// Parts before this event are read over.
    after: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    bounds: Bounds,
    head: Option<Result<Head, Refusal>>,
    parts: VecDeque<Part>,
    dropped: usize,
    bytes: usize,
    is_replayable: bool,
    end: Option<End>,
    request_sha256: Option<String>,
    readers: HashMap<ReaderId, Reader>,
    next_reader: ReaderId,
}

impl Log {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            head: None,
            parts: VecDeque::new(),
            dropped: 0,
            bytes: 0,
            is_replayable: true,
            end: None,
            request_sha256: None,
            readers: HashMap::new(),
            next_reader: 0,
        }
    }

    /// A new reader of what follows event `after`.
    pub(super) fn join(&mut self, after: u64) -> Result<ReaderId, Refusal> {
        if !self.is_replayable {
            return Err(Refusal::TooLarge);
        }
        self.next_reader += 1;
        self.readers.insert(self.next_reader, Reader { at: 0, after });
        Ok(self.next_reader)
    }

    pub(super) fn leave(&mut self, id: ReaderId) {
        self.readers.remove(&id);
        self.trim();
    }

    pub(super) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.is_replayable
    }

    pub(super) fn open(&mut self, head: Result<Head, Refusal>) {
        self.head.get_or_insert(head);
    }

    pub(super) fn head(&self) -> Option<&Result<Head, Refusal>> {
        self.head.as_ref()
    }

    pub(super) fn push(&mut self, part: Part) {
        self.bytes += part.bytes.len();
        let held = self.bounds.held.fetch_add(part.bytes.len(), Ordering::Relaxed) + part.bytes.len();
        self.parts.push_back(part);
        if self.bytes > self.bounds.log_bytes || held > self.bounds.all_bytes {
            self.is_replayable = false;
        }
        self.trim();
    }

    /// Whether the answer may be read on. While the log is within its bound, nobody waits for slow readers.
    pub(super) fn has_room(&self) -> bool {
        self.is_replayable || self.bytes < WINDOW_BYTES
    }

    pub(super) fn finish(&mut self, end: End, request_sha256: Option<String>) {
        self.end.get_or_insert(end);
        self.request_sha256 = request_sha256;
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// What request was answered, where only its end could tell.
    pub(super) fn request_sha256(&self) -> Option<&str> {
        self.request_sha256.as_deref()
    }

    /// Whether a read gives something, or never will.
    pub(super) fn is_ready(&self, id: ReaderId) -> bool {
        self.end.is_some() || self.readers.get(&id).is_none_or(|reader| reader.at < self.dropped + self.parts.len())
    }

    /// Everything there is for a reader that it has not read.
    pub(super) fn read(&mut self, id: ReaderId) -> Bytes {
        let Some(reader) = self.readers.get_mut(&id) else { return Bytes::new() };
        let new = self.parts.range(reader.at.saturating_sub(self.dropped)..);
        let bytes = joined(new.filter(|part| part.before >= reader.after));
        reader.at = self.dropped + self.parts.len();
        self.trim();
        bytes
    }

    /// The whole body, if it was kept.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.is_replayable.then(|| joined(self.parts.iter()))
    }

    /// Beyond the bound, what everybody has read goes.
    fn trim(&mut self) {
        if self.is_replayable {
            return;
        }
        let last = self.dropped + self.parts.len();
        let read = self.readers.values().map(|reader| reader.at).min().unwrap_or(last);
        for part in self.parts.drain(..read - self.dropped) {
            self.bytes -= part.bytes.len();
            self.bounds.held.fetch_sub(part.bytes.len(), Ordering::Relaxed);
        }
        self.dropped = read;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.bounds.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Most often there is one part, which is not copied.
fn joined<'a>(parts: impl Iterator<Item = &'a Part>) -> Bytes {
    let mut parts = parts.map(|part| &part.bytes);
    let Some(first) = parts.next() else { return Bytes::new() };
    let Some(second) = parts.next() else { return first.clone() };
    let mut all = BytesMut::from(&first[..]);
    [second].into_iter().chain(parts).for_each(|bytes| all.extend_from_slice(bytes));
    all.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(log_bytes: usize) -> Log {
        Log::new(Bounds { log_bytes, all_bytes: 1_000, held: Arc::default() })
    }

    fn part(before: u64, bytes: &'static str) -> Part {
        Part { before, bytes: bytes.into() }
    }

    #[test]
    fn a_reader_gets_what_follows_the_event_it_saw_last() {
        let mut log = log(100);
        log.push(part(0, "one "));
        log.push(part(1, "two "));
        let (first, second) = (log.join(0).unwrap(), log.join(1).unwrap());

        assert_eq!((log.read(first), log.read(second)), ("one two ".into(), "two ".into()));
        log.push(part(2, "three"));
        assert_eq!((log.read(first), log.read(second)), ("three".into(), "three".into()));
        assert_eq!(log.body().unwrap(), "one two three");
    }

    #[test]
    fn beyond_the_bound_readers_go_on_and_nobody_joins() {
        let mut log = log(5);
        let (fast, slow) = (log.join(0).unwrap(), log.join(0).unwrap());
        log.push(part(0, "one "));
        assert_eq!(log.read(fast), "one ");
        log.push(part(1, "two "));

        assert_eq!(log.join(0), Err(Refusal::TooLarge));
        assert_eq!((log.read(fast), log.read(slow)), ("two ".into(), "one two ".into()));
        assert_eq!((log.bytes, log.body()), (0, None));
    }

    #[test]
    fn a_slow_reader_holds_a_large_answer_back() {
        let mut log = log(5);
        let reader = log.join(0).unwrap();
        let large = Part { before: 0, bytes: Bytes::from(vec![b'x'; WINDOW_BYTES]) };

        log.push(large);
        assert!(!log.has_room());

        log.read(reader);
        assert!(log.has_room());
    }

    #[test]
    fn all_logs_together_have_a_bound_and_give_back_what_they_held() {
        let bounds = Bounds { log_bytes: 100, all_bytes: 6, held: Arc::default() };
        let (mut one, mut two) = (Log::new(bounds.clone()), Log::new(bounds.clone()));

        one.push(part(0, "four"));
        two.push(part(0, "four"));
        assert!(one.is_replayable() && !two.is_replayable());

        drop((one, two));
        assert_eq!(bounds.held.load(Ordering::Relaxed), 0);
    }
}
