//! Any split of the input gives the same events, and the end of the last whole event is where it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::sse::{Decoder, Event};

const LIMIT: usize = 512;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let (whole, end) = read([bytes]);

    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts {
        let (piece, next) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    let (split, split_end) = read(pieces);

    // An event beyond the limit ends the reading; what came before it in the same bytes is not given.
    match (whole, split) {
        (Ok(whole), Ok(split)) => {
            assert_eq!(whole, split);
            assert_eq!(end, split_end);
            for event in whole {
                let encoded = event.encode();
                let again = Decoder::new(4 * LIMIT).feed(&encoded);
                assert_eq!(again.as_deref(), Ok(&[event][..]));
            }
        }
        (Err(_), Err(_)) => {}
        (whole, split) => panic!("{whole:?} is not {split:?}"),
    }
});

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Result<Vec<Event<'a>>, ()>, usize) {
    let mut decoder = Decoder::new(LIMIT);
    let (mut events, mut taken, mut end) = (Vec::new(), 0, 0);
    for piece in pieces {
        match decoder.feed(piece) {
            Ok(new) => events.extend(new),
            Err(_) => return (Err(()), 0),
        }
        if decoder.boundary() > 0 {
            end = taken + decoder.boundary();
        }
        taken += piece.len();
    }
    (Ok(events), end)
}
