//! Files that come in parts: their index is what one pass over the whole would have found.

use bytes::Bytes;
use proptest::prelude::*;
use store::{Blobs, FileIndex, Ingest, IngestLimits, JoinedPart, PartIngest, Source};

fn line(custom_id: &str) -> String {
    format!(
        r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/chat/completions","body":{{"model":"m","max_tokens":100}}}}"#
    )
}

/// The index and its records, read in one pass.
async fn in_one(blobs: &Blobs, text: &[u8], limits: IngestLimits) -> (FileIndex, Bytes) {
    let mut ingest = Ingest::new(blobs, "whole", limits);
    ingest.feed(Bytes::copy_from_slice(text)).await.unwrap();
    let index = ingest.finish().await.unwrap();
    let records = blobs.get(&index.blob).await.unwrap();
    (FileIndex { blob: String::new(), ..index }, records)
}

/// The same, of the file in these parts, each fed in pieces of `piece` bytes.
async fn in_parts(blobs: &Blobs, parts: &[&[u8]], piece: usize, limits: IngestLimits) -> (FileIndex, Bytes) {
    let mut joined = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let path = format!("part-{number}");
        let mut ingest = PartIngest::new(blobs, &path, limits);
        for bytes in part.chunks(piece) {
            ingest.feed(Bytes::copy_from_slice(bytes)).await.unwrap();
        }
        let (info, lines) = ingest.finish().await.unwrap();
        joined.push(JoinedPart { source: Source { path, info }, lines });
    }
    let sources: Vec<_> = joined.iter().map(|part| part.source.clone()).collect();
    let info = blobs.assemble("joined", &sources).await.unwrap();
    let index = FileIndex::join(blobs, "joined.index", limits, &joined).await.unwrap();
    let records = blobs.get("joined.index").await.unwrap();
    (FileIndex { blob: String::new(), bytes: info.bytes, crc32c: info.crc32c, ..index }, records)
}

async fn is_the_same(text: &[u8], cuts: &[usize], piece: usize, limits: IngestLimits) {
    let parts: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();

    let one = in_one(&Blobs::in_memory(), text, limits).await;
    let many = in_parts(&Blobs::in_memory(), &parts, piece, limits).await;

    assert_eq!(many, one, "{:?} cut at {cuts:?}", String::from_utf8_lossy(text));
}

#[tokio::test]
async fn lines_across_borders_are_found() {
    let text = [line("a"), line("b"), line("c")].join("\r\n");

    for cut in 0..=text.len() {
        is_the_same(text.as_bytes(), &[0, cut, text.len()], 16, IngestLimits::default()).await;
    }
}

#[tokio::test]
async fn parts_may_be_smaller_than_a_line_and_lines_too_long() {
    let limits = IngestLimits { max_line_bytes: 200, ..IngestLimits::default() };
    let text = [line("a"), "x".repeat(500), line("b"), String::new(), "y".repeat(201)].join("\n");

    for size in [1, 7, 64, 300] {
        let cuts: Vec<_> = (0..text.len()).step_by(size).chain([text.len()]).collect();
        is_the_same(text.as_bytes(), &cuts, 10, limits).await;
    }
}

#[tokio::test]
async fn a_name_that_repeats_in_another_part_is_a_mistake_at_its_line() {
    let text = [line("a"), line("b"), "\n".to_owned(), line("b"), line("a"), "{oops".to_owned(), line("c")].join("\n");

    for cut in 0..=text.len() {
        is_the_same(text.as_bytes(), &[0, cut, text.len()], 50, IngestLimits::default()).await;
    }
}

#[tokio::test]
async fn lines_beyond_the_limit_are_one_mistake() {
    let limits = IngestLimits { max_lines: 5, ..IngestLimits::default() };
    let text: String = (0..9).map(|n| line(&n.to_string()) + "\n").collect();

    for cut in (0..=text.len()).step_by(13) {
        let (index, records) =
            in_parts(&Blobs::in_memory(), &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]], 50, limits).await;

        let codes: Vec<_> = index.errors.iter().map(|issue| issue.code.as_str()).collect();
        assert_eq!((codes, index.lines, records.len()), (vec!["too_many_tasks"], 9, 5 * 16), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_parts_give_the_index_of_the_whole(
        lines in prop::collection::vec(prop_oneof![
            "[a-d]".prop_map(|name| line(&name)),
            "[a-z]{8}".prop_map(|name| line(&name)),
            Just(String::new()),
            Just("{oops".to_owned()),
            Just(" ".to_owned()),
            "x{0,40}",
        ], 0..12),
        mark in any::<bool>(),
        ending in prop_oneof![Just("\n"), Just("\r\n")],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        piece in 1usize..200,
        max_line_bytes in 100u32..130,
    ) {
        let text = if mark { "\u{feff}" } else { "" }.to_owned() + &lines.join(ending);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

        runtime.block_on(is_the_same(text.as_bytes(), &cuts, piece, IngestLimits { max_line_bytes, ..IngestLimits::default() }));
    }
}
