//! One-pass ingestion.

use bytes::Bytes;
use proptest::prelude::*;
use store::{Blobs, FileIndex, Ingest, IngestLimits, LineRecord};

fn line(custom_id: &str) -> String {
    format!(
        r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/chat/completions","body":{{"model":"m","max_tokens":100}}}}"#
    )
}

async fn ingest(text: &[u8], part: usize, limits: IngestLimits) -> (FileIndex, Bytes, Vec<LineRecord>) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&format!("file://{}", folder.path().display())).unwrap();
    let mut ingest = Ingest::new(&blobs, "f/1", limits);
    for part in text.chunks(part) {
        ingest.feed(Bytes::copy_from_slice(part)).await.unwrap();
    }
    let index = ingest.finish().await.unwrap();
    let records = LineRecord::parse_all(&blobs.get(&index.blob).await.unwrap()).collect();
    (index, blobs.get("f/1").await.unwrap(), records)
}

fn codes(index: &FileIndex) -> Vec<(&str, u64)> {
    index.errors.iter().map(|issue| (issue.code.as_str(), issue.line)).collect()
}

#[tokio::test]
async fn a_good_file_is_kept_as_it_came_and_indexed() {
    let text = format!("\u{feff}{}\r\n\n{}", line("a"), line("b"));

    let (index, data, records) = ingest(text.as_bytes(), 7, IngestLimits::default()).await;

    assert_eq!((index.lines, index.error_count, index.bytes), (2, 0, text.len() as u64));
    assert_eq!((data.as_ref(), index.crc32c), (text.as_bytes(), crc32c::crc32c(text.as_bytes())));
    let cut = |record: &LineRecord| data.slice(usize::try_from(record.offset).unwrap()..).slice(..record.len as usize);
    assert_eq!(records.iter().map(cut).collect::<Vec<_>>(), [line("a"), line("b")]);
    assert_eq!(records[0].tokens, records[0].len / 4 + 100);
    assert_eq!(index.tokens, u64::from(records[0].tokens) * 2);
    assert_eq!((index.urls[0].value.as_str(), index.urls[0].count), ("/v1/chat/completions", 2));
    assert_eq!((index.models[0].value.as_str(), index.models[0].first_lines.as_slice()), ("m", &[1, 3][..]));
}

#[tokio::test]
async fn every_mistake_is_reported_with_its_physical_line() {
    let long = line(&"x".repeat(300));
    let text = [&line("a"), "", "{oops", &line("a"), "{}", &long, &line("b")].join("\n");

    let (index, ..) =
        ingest(text.as_bytes(), 64, IngestLimits { max_line_bytes: 200, ..IngestLimits::default() }).await;

    let expected = [
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
        ("missing_required_parameter", 5),
        ("invalid_request", 6),
    ];
    assert_eq!(codes(&index), expected);
    assert_eq!(index.errors[0].message, "This line is not parseable as valid JSON.");
    assert_eq!((index.lines, index.error_count), (6, 4));
}

#[tokio::test]
async fn an_empty_file_is_a_mistake() {
    for text in ["", "\n \n\r\n"] {
        assert_eq!(codes(&ingest(text.as_bytes(), 1024, IngestLimits::default()).await.0), [("empty_file", 0)]);
    }
}

#[tokio::test]
async fn too_many_lines_are_one_mistake_and_are_not_indexed() {
    let text: Vec<_> = (0..5).map(|at| line(&at.to_string())).collect();
    let limits = IngestLimits { max_lines: 3, ..IngestLimits::default() };

    let (index, _, records) = ingest(text.join("\n").as_bytes(), 100, limits).await;

    assert_eq!((codes(&index), index.lines, records.len()), (vec![("too_many_tasks", 0)], 5, 3));
    assert!(index.errors[0].message.contains("more than 3 lines"));
}

#[tokio::test]
async fn a_hundred_mistakes_are_kept_and_all_are_counted() {
    let text = "{}\n".repeat(250);

    let (index, ..) = ingest(text.as_bytes(), 1000, IngestLimits::default()).await;

    assert_eq!((index.errors.len(), index.error_count), (100, 250));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn however_the_upload_is_cut_the_index_is_the_same(part in 1usize..200, noise in "[a{}\"\\r\\n é]{0,60}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = format!("{}\n{noise}\n{}\n", line("a"), line("b"));

        let cut = runtime.block_on(ingest(text.as_bytes(), part, IngestLimits::default()));
        let whole = runtime.block_on(ingest(text.as_bytes(), text.len(), IngestLimits::default()));

        prop_assert_eq!(cut, whole);
    }
}
