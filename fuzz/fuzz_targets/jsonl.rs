//! Any split of the input gives the same lines, and each stands in the file where it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::jsonl::{Line, LineScanner, TooLong};

const MAX_LINE: u32 = 64;

/// Number, offset and bytes of a line; none for one too long.
type Seen = (u64, u64, Option<Vec<u8>>);

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts {
        let (piece, next) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);

    let whole = read(&[bytes]);

    assert_eq!(whole, read(&pieces));
    for (_, offset, line) in whole {
        let offset = usize::try_from(offset).expect("within the file");
        if let Some(line) = line {
            assert_eq!(&bytes[offset..offset + line.len()], line);
            assert!(line.len() <= MAX_LINE as usize && !line.contains(&b'\n'));
        }
    }
});

fn read(pieces: &[&[u8]]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut scanner = LineScanner::new(MAX_LINE);
    for piece in pieces {
        scanner.feed(piece, |line| seen.push(note(line)));
    }
    scanner.finish(|line| seen.push(note(line)));
    seen
}

fn note(line: Result<Line<'_>, TooLong>) -> Seen {
    match line {
        Ok(line) => {
            assert_eq!(line.len as usize, line.bytes.len());
            (line.number, line.offset, Some(line.bytes.to_vec()))
        }
        Err(long) => (long.number, long.offset, None),
    }
}
