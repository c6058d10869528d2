//! Server-sent events, incrementally: however the bytes are split, the same events come out. Memory is bounded.

use bytes::Bytes;
use std::{borrow::Cow, fmt, mem};

/// One event with data. What came in one piece is borrowed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field, if it had one.
    pub event: Option<Cow<'a, str>>,
    /// The `data:` lines, joined by newlines.
    pub data: Cow<'a, str>,
}

impl Event<'_> {
    /// An event of its own.
    #[must_use]
    pub fn new(event: Option<String>, data: String) -> Event<'static> {
        Event { event: event.map(Cow::Owned), data: Cow::Owned(data) }
    }

    /// The event as bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut text = self.event.as_ref().map(|name| format!("event: {name}\n")).unwrap_or_default();
        for line in self.data.split('\n') {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        Bytes::from(text)
    }
}

/// The sender wrote an event that is larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseError {
    /// The limit.
    pub max_event_bytes: usize,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a server-sent event is larger than {} bytes", self.max_event_bytes)
    }
}

impl std::error::Error for SseError {}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads events from bytes as they come.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    line: Vec<u8>,
    fields: Fields<'static>,
    fresh: bool,
    size: usize,
    started: bool,
    after_cr: bool,
    boundary: usize,
}

/// What the lines of an event have said so far.
#[derive(Debug, Default)]
struct Fields<'a> {
    event: Option<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
}

impl Decoder {
    /// A decoder that refuses events of more than `max_event_bytes`.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            fields: Fields::default(),
            fresh: true,
            size: 0,
            started: false,
            after_cr: false,
            boundary: 0,
        }
    }

    /// Takes the next bytes and gives the events they complete.
    ///
    /// # Errors
    /// When an event grows beyond the limit.
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> Result<Vec<Event<'a>>, SseError> {
        let mut events = Vec::new();
        let mut fields: Fields<'a> = mem::take(&mut self.fields);
        let mut at = 0;
        self.boundary = 0;
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            at = usize::from(bytes[0] == b'\n');
            self.mark(at);
        }
        while at < bytes.len() {
            let Some(length) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) else {
                self.count(bytes.len() - at)?;
                self.line.extend_from_slice(&bytes[at..]);
                break;
            };
            self.count(length)?;
            let line = self.whole_line(&bytes[at..at + length]);
            at += length + 1;
            if bytes[at - 1] == b'\r' {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            events.extend(self.read_line(line, &mut fields));
            self.mark(at);
        }
        self.fields = fields.into_owned();
        Ok(events)
    }

    /// Whether an event has begun and not ended.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        !self.fresh || !self.line.is_empty()
    }

    /// How many bytes of the last feed belong to events that have ended; the rest belongs to a partial one.
    #[must_use]
    pub fn boundary(&self) -> usize {
        self.boundary
    }

    fn mark(&mut self, at: usize) {
        if !self.has_partial() {
            self.boundary = at;
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), SseError> {
        self.size += bytes;
        if self.size > self.max_event_bytes {
            return Err(SseError { max_event_bytes: self.max_event_bytes });
        }
        Ok(())
    }

    /// The line that ends with `rest`, which nearly always is all of it.
    fn whole_line<'a>(&mut self, rest: &'a [u8]) -> Cow<'a, [u8]> {
        if self.line.is_empty() {
            return Cow::Borrowed(rest);
        }
        self.line.extend_from_slice(rest);
        Cow::Owned(mem::take(&mut self.line))
    }

    fn read_line<'a>(&mut self, line: Cow<'a, [u8]>, fields: &mut Fields<'a>) -> Option<Event<'a>> {
        let is_first = !mem::replace(&mut self.started, true);
        let line = if is_first { without_mark(line) } else { line };
        if line.is_empty() {
            self.fresh = true;
            self.size = 0;
            let event = fields.event.take();
            return fields.data.take().map(|data| Event { event, data });
        }
        self.fresh = false;
        match line {
            Cow::Borrowed(line) => match str::from_utf8(line) {
                Ok(line) => fields.read(line),
                Err(_) => fields.read_owned(&String::from_utf8_lossy(line)),
            },
            Cow::Owned(line) => fields.read_owned(&String::from_utf8_lossy(&line)),
        }
        None
    }
}

/// A stream may begin with a byte order mark.
fn without_mark(line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)),
        Cow::Owned(line) => Cow::Owned(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).to_vec()),
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a str) {
        let (name, value) = split(line);
        self.set(name, Cow::Borrowed(value));
    }

    fn read_owned(&mut self, line: &str) {
        let (name, value) = split(line);
        self.set(name, Cow::Owned(value.to_owned()));
    }

    fn set(&mut self, name: &str, value: Cow<'a, str>) {
        match (name, &mut self.data) {
            ("data", Some(data)) => {
                let data = data.to_mut();
                data.push('\n');
                data.push_str(&value);
            }
            ("data", None) => self.data = Some(value),
            ("event", _) => self.event = Some(value),
            _ => {}
        }
    }

    fn into_owned(self) -> Fields<'static> {
        let own = |text: Option<Cow<'a, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Fields { event: own(self.event), data: own(self.data) }
    }
}

/// The name of a field and its value.
fn split(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name, value.strip_prefix(' ').unwrap_or(value))
}

/// One event that carries `json`, which must be on one line.
#[must_use]
pub fn encode_data(json: &str) -> Bytes {
    debug_assert!(!json.contains(['\n', '\r']), "data with a line break would become another field");
    Bytes::from(format!("data: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode<'a>(parts: &[&'a [u8]]) -> Vec<Event<'a>> {
        let mut decoder = Decoder::new(1 << 20);
        parts.iter().flat_map(|part| decoder.feed(part).unwrap()).collect()
    }

    fn data(text: &str) -> Event<'_> {
        Event { event: None, data: text.into() }
    }

    #[test]
    fn every_line_ending_is_read() {
        for text in ["data: a\n\ndata:b\n\n", "data: a\r\n\r\ndata:b\r\n\r\n", "data: a\r\rdata:b\r\r"] {
            assert_eq!(decode(&[text.as_bytes()]), [data("a"), data("b")], "{text:?}");
        }
    }

    #[test]
    fn names_comments_and_several_lines_are_read() {
        let events = decode(&["\u{feff}event: x\ndata: a\ndata:  b\n: ping\nid: 7\n\n: ping\n\ndata\n\n".as_bytes()]);

        assert_eq!(events, [Event { event: Some("x".into()), data: "a\n b".into() }, data("")]);
    }

    #[test]
    fn an_unfinished_event_is_partial_and_never_given() {
        let mut decoder = Decoder::new(100);

        let events = decoder.feed(b"data: a\n\ndata: b\n").unwrap();

        assert_eq!(events, [data("a")]);
        assert_eq!(decoder.boundary(), 9);
        assert!(decoder.has_partial());
        decoder.feed(b"\n").unwrap();
        assert!(!decoder.has_partial());
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::new(10);

        assert!(decoder.feed(b"data: a\n\ndata: b\n\n").is_ok());
        assert!(decoder.feed(b"data: 1\ndata: 2\n").is_err());
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let event = Event { event: Some("x".into()), data: "a\nb".into() };

        assert_eq!(decode(&[&encode_data("{}"), &event.encode()]), [data("{}"), event]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events_and_boundaries(
            text in "(data|event|: x|:|a|é|\u{feff}|\r|\n|\r\n|\n\n){0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut whole = Decoder::new(1 << 20);
            let expected = whole.feed(bytes).unwrap();

            let mut decoder = Decoder::new(1 << 20);
            let (mut events, mut boundary) = (Vec::new(), 0);
            for cut in cuts.windows(2) {
                events.extend(decoder.feed(&bytes[cut[0]..cut[1]]).unwrap());
                if decoder.boundary() > 0 {
                    boundary = cut[0] + decoder.boundary();
                }
            }

            prop_assert_eq!(events, expected);
            prop_assert_eq!(boundary, whole.boundary());
            prop_assert_eq!(decoder.has_partial(), whole.has_partial());
        }
    }
}
