//! JSON Lines, incrementally: however the bytes are split, the same lines come out. Memory is bounded by the longest
//! line allowed.

const MARK: &[u8] = b"\xef\xbb\xbf";

/// One line that is not blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The physical line, counted from 1.
    pub number: u64,
    /// Where its first byte stands in the file (after a byte order mark at the file's start).
    pub offset: u64,
    /// Its length without the line ending.
    pub len: u32,
    /// Its bytes without the line ending.
    pub bytes: &'a [u8],
}

/// A line that is longer than allowed; the scanner goes on with the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The physical line, counted from 1.
    pub number: u64,
    /// Where its first byte stands in the file.
    pub offset: u64,
}

/// Cuts bytes into lines as they come.
#[derive(Debug)]
pub struct LineScanner {
    max_line: usize,
    number: u64,
    line_start: u64,
    position: u64,
    held: Vec<u8>,
    overflowed: bool,
}

impl LineScanner {
    /// A scanner that reports lines of more than `max_line` bytes as [`TooLong`].
    #[must_use]
    pub fn new(max_line: u32) -> Self {
        Self { max_line: max_line as usize, number: 1, line_start: 0, position: 0, held: Vec::new(), overflowed: false }
    }

    /// A scanner for the middle of a file: its next byte stands at `offset` and begins the physical line `number`.
    #[must_use]
    pub fn starting(max_line: u32, number: u64, offset: u64) -> Self {
        Self { number, line_start: offset, position: offset, ..Self::new(max_line) }
    }

    /// Takes the next bytes and hands every line they complete to `on_line`.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(Result<Line<'_>, TooLong>)) {
        while let Some(length) = memchr::memchr(b'\n', bytes) {
            self.end_line(&bytes[..length], &mut on_line);
            self.position += length as u64 + 1;
            self.line_start = self.position;
            self.number += 1;
            bytes = &bytes[length + 1..];
        }
        self.position += bytes.len() as u64;
        self.hold(bytes);
    }

    /// Ends the file: hands over a last line that has no line ending.
    pub fn finish(mut self, mut on_line: impl FnMut(Result<Line<'_>, TooLong>)) {
        self.end_line(&[], &mut on_line);
    }

    /// How many bytes were taken so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The physical line that the next byte belongs to, and where that line begins.
    #[must_use]
    pub fn line(&self) -> (u64, u64) {
        (self.number, self.line_start)
    }

    fn hold(&mut self, bytes: &[u8]) {
        // Room for the mark and the carriage return, which do not count.
        let allowed = self.max_line + MARK.len() + 1;
        self.overflowed |= self.held.len() + bytes.len() > allowed;
        // Of a line too long only so much is kept that a mark before it is still seen.
        let room = if self.overflowed { MARK.len().saturating_sub(self.held.len()) } else { bytes.len() };
        self.held.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn end_line(&mut self, rest: &[u8], on_line: &mut impl FnMut(Result<Line<'_>, TooLong>)) {
        if self.held.is_empty() && !self.overflowed {
            return self.give(rest, on_line);
        }
        self.hold(rest);
        let held = std::mem::take(&mut self.held);
        self.give(&held, on_line);
        self.held = held;
        self.held.clear();
        self.overflowed = false;
    }

    fn give(&self, line: &[u8], on_line: &mut impl FnMut(Result<Line<'_>, TooLong>)) {
        let mark = usize::from(self.number == 1 && line.starts_with(MARK)) * MARK.len();
        let bytes = trim_cr(&line[mark..]);
        let (number, offset) = (self.number, self.line_start + mark as u64);
        if self.overflowed || bytes.len() > self.max_line {
            return on_line(Err(TooLong { number, offset }));
        }
        if !is_blank(bytes) {
            let len = u32::try_from(bytes.len()).expect("no longer than max_line, which is a u32");
            on_line(Ok(Line { number, offset, len, bytes }));
        }
    }
}

/// The lines of a range in memory that are not blank, without their line endings.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(trim_cr).filter(|line| !is_blank(line))
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Seen = Result<(u64, u64, Vec<u8>), TooLong>;

    fn scan(parts: &[&[u8]], max_line: u32) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut record = |line: Result<Line<'_>, TooLong>| {
            seen.push(line.map(|line| (line.number, line.offset, line.bytes.to_vec())));
        };
        let mut scanner = LineScanner::new(max_line);
        for part in parts {
            scanner.feed(part, &mut record);
        }
        scanner.finish(&mut record);
        seen
    }

    #[test]
    fn marks_blank_lines_and_a_missing_last_newline_are_no_trouble() {
        let seen = scan(&[b"\xef\xbb\xbf{}\r\n\n \t\r\nab\nc"], 10);

        let expected = [(1, 3, b"{}".to_vec()), (4, 12, b"ab".to_vec()), (5, 15, b"c".to_vec())];
        assert_eq!(seen, expected.map(Ok));
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_and_passed_over() {
        let seen = scan(&[b"aaa\n", b"aaaa", b"aaaaaaaaaa", b"a\nbbb\r\ncccc"], 3);

        let too_long = |number, offset| Err(TooLong { number, offset });
        assert_eq!(seen, [Ok((1, 0, b"aaa".to_vec())), too_long(2, 4), Ok((3, 20, b"bbb".to_vec())), too_long(4, 25)]);
    }

    #[test]
    fn an_empty_file_has_no_lines() {
        assert_eq!(scan(&[], 3), []);
        assert_eq!(scan(&[b"\xef\xbb\xbf"], 3), []);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            text in "(\u{feff})?(a|bb|é| |\t|\r|\n|\r\n|\u{feff}){0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            max_line in 0u32..12,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();

            let seen = scan(&parts, max_line);

            prop_assert_eq!(&seen, &scan(&[bytes], max_line));
            for (_, offset, line) in seen.into_iter().flatten() {
                prop_assert!(bytes[usize::try_from(offset).unwrap()..].starts_with(&line));
            }
        }

        #[test]
        fn lines_in_memory_are_the_lines_of_the_scanner(text in "(a|bb| |\t|\r|\n|\r\n){0,40}") {
            let scanned: Vec<_> = scan(&[text.as_bytes()], 1000).into_iter().map(|line| line.unwrap().2).collect();

            prop_assert_eq!(lines(text.as_bytes()).collect::<Vec<_>>(), scanned);
        }
    }
}
