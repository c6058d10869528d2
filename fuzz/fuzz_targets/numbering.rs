//! Numbers change no event, and a numbered stream falls into the parts it was made of.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::{
    numbering::{Numbering, parts},
    sse::{Decoder, Event},
};

fuzz_target!(|bytes: &[u8]| {
    // A frame holds whole events.
    let frame = Bytes::from([bytes, b"\n\n"].concat());
    let numbered = Numbering::default().take(&frame);
    let stream: Bytes = numbered.iter().flat_map(|part| part.bytes.to_vec()).collect();

    assert_eq!(events(&stream), events(&frame));
    assert_eq!(parts(&stream), numbered);
});

fn events(bytes: &[u8]) -> Vec<Event<'_>> {
    Decoder::new(1 << 20).feed(bytes).expect("small enough")
}
