//! Numbers on the events of a stream (`id: N`), so that a reader who lost it can say where. Nothing else is touched.

use bytes::{BufMut, Bytes, BytesMut};

const BOM: &[u8] = b"\xef\xbb\xbf";
const ID: &[u8] = b"id: ";

/// One event with its number, or what stands between two events: comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How many events come before it. An event's own number is one more.
    pub before: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Counts the events of one stream, from 1.
#[derive(Debug, Default)]
pub struct Numbering {
    events: u64,
    started: bool,
}

impl Numbering {
    /// The parts of `frame`, which holds whole events. Numbers that the sender gave become empty comments.
    pub fn take(&mut self, frame: &Bytes) -> Vec<Part> {
        let is_first = !std::mem::replace(&mut self.started, true);
        // A second mark is part of the first line. It stays behind the first one, or it would be taken for that.
        let unmarked = frame.strip_prefix(BOM).filter(|rest| is_first && !rest.starts_with(BOM));
        let text = unmarked.unwrap_or(frame);
        blocks(text).map(|block| self.part(frame.slice_ref(block))).collect()
    }

    fn part(&mut self, block: Bytes) -> Part {
        let before = self.events;
        let is_event = is_event(&block);
        if !is_event && !lines(&block).any(|line| is_field(line, b"id")) {
            return Part { before, bytes: block };
        }
        let mut bytes = BytesMut::with_capacity(block.len() + 24);
        if is_event {
            self.events += 1;
            bytes.put_slice(ID);
            bytes.put_slice(self.events.to_string().as_bytes());
            bytes.put_u8(b'\n');
        }
        for line in lines(&block) {
            // Taken out of between, a line would leave one ending where there were two.
            bytes.put_slice(if is_field(line, b"id") { b":" } else { content(line) });
            bytes.put_slice(&line[content(line).len()..]);
        }
        Part { before, bytes: bytes.freeze() }
    }
}

/// The parts of a stream that was numbered before.
#[must_use]
pub fn parts(stream: &Bytes) -> Vec<Part> {
    let mut events = 0;
    let part = |block: &[u8]| {
        let before = events;
        events += u64::from(block.starts_with(ID));
        Part { before, bytes: stream.slice_ref(block) }
    };
    blocks(stream).map(part).collect()
}

/// Runs of lines up to and with an empty one; the last may lack it.
fn blocks(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut length = 0;
        for line in lines(rest) {
            length += line.len();
            if is_blank(line) {
                break;
            }
        }
        let (block, next) = rest.split_at(length);
        rest = next;
        (!block.is_empty()).then_some(block)
    })
}

/// Lines with their endings.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match memchr::memchr2(b'\n', b'\r', rest) {
            Some(at) if rest[at..].starts_with(b"\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, next) = rest.split_at(end);
        rest = next;
        (!line.is_empty()).then_some(line)
    })
}

fn is_event(block: &[u8]) -> bool {
    lines(block).last().is_some_and(is_blank) && lines(block).any(|line| is_field(line, b"data"))
}

fn content(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &line[..end]
}

fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n" | b"\r")
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.strip_prefix(name).is_some_and(|rest| matches!(rest.first(), None | Some(b':' | b'\n' | b'\r')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::{Decoder, Event};
    use proptest::prelude::*;

    fn number(frames: &[&'static str]) -> Vec<Part> {
        let mut numbering = Numbering::default();
        frames.iter().flat_map(|frame| numbering.take(&Bytes::from_static(frame.as_bytes()))).collect()
    }

    fn text(parts: &[Part]) -> String {
        parts.iter().map(|part| String::from_utf8_lossy(&part.bytes)).collect()
    }

    fn events(bytes: &[u8]) -> Vec<Event<'_>> {
        Decoder::new(1 << 20).feed(bytes).unwrap()
    }

    #[test]
    fn events_are_numbered_and_comments_are_not() {
        let parts = number(&["data: a\n\n", ": ping\n\n", "event: x\r\ndata: b\r\n\r\ndata: c\n\n", ": end\n\n"]);

        let expected = "id: 1\ndata: a\n\n: ping\n\nid: 2\nevent: x\r\ndata: b\r\n\r\nid: 3\ndata: c\n\n: end\n\n";
        assert_eq!(text(&parts), expected);
        assert_eq!(parts.iter().map(|part| part.before).collect::<Vec<_>>(), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn a_senders_own_numbers_and_mark_do_not_count() {
        let parts = number(&["\u{feff}id: 77\ndata: a\nid\n\n"]);

        assert_eq!(text(&parts), "id: 1\n:\ndata: a\n:\n\n");
    }

    #[test]
    fn a_second_mark_stays_what_it_is() {
        let frame = "\u{feff}\u{feff}data: a\n\ndata: b\n\n";

        let parts = number(&[frame]);

        assert_eq!(events(text(&parts).as_bytes()), events(frame.as_bytes()));
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn a_numbered_stream_falls_into_the_same_parts() {
        let numbered = number(&["data: a\n\n: ping\n\ndata: b\n\n", ": end\n\n"]);

        assert_eq!(parts(&Bytes::from(text(&numbered))), numbered);
    }

    proptest! {
        #[test]
        fn a_numbered_stream_has_the_same_events(lines in "\u{feff}{0,2}((data|event|: x|id)(: a)?(\r|\n|\r\n)|\n){0,30}") {
            let frame = Bytes::from(format!("{lines}\n\n"));

            let numbered = Numbering::default().take(&frame);

            let stream: Bytes = numbered.iter().flat_map(|part| part.bytes.to_vec()).collect();
            prop_assert_eq!(events(&stream), events(&frame));
            prop_assert_eq!(parts(&stream), numbered);
        }
    }
}
