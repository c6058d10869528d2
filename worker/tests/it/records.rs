//! What users read of a batch beside its files: records before the end, sums by model, identical lines that share an answer.

use crate::{
    bench::{Bench, lines, messages},
    model::MODEL,
};
use domain::{BatchId, BatchStatus};
use serde_json::{Value, json};
use store::{BatchRow, FilePart, ResultLine};

impl Bench {
    /// The lines that can be read after `after`, at most `limit`.
    async fn results(&self, batch: &BatchId, after: i64, limit: i64) -> Vec<ResultLine> {
        let row = self.store.batch_by_id(batch).await.unwrap().unwrap();
        let mut results = self.store.results(&self.blobs, &row, after, limit).await.unwrap();
        let mut lines = Vec::new();
        while let Some(more) = results.next().await.unwrap() {
            lines.extend(more);
        }
        assert_eq!(lines.last().map_or(after, |line| line.line), results.last_line());
        lines
    }
}

/// Their numbers, after a look whether each is the record of its line.
fn numbers(results: &[ResultLine]) -> Vec<i64> {
    let number = |result: &ResultLine| {
        let record: Value = serde_json::from_slice(&result.json).unwrap();
        assert_eq!(record["custom_id"], format!("c{}", result.line - 1));
        result.line
    };
    results.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_can_be_read_up_to_the_first_line_without_one() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let mut contents = messages("ok", 100);
    contents[70] = "hang".to_owned();
    contents[3] = "bad".to_owned();
    let batch = bench.batch(&contents).await;
    bench.until(&batch, |row| row.counts.recorded() == 99).await;

    let (all, page) = (bench.results(&batch, 0, 1_000).await, bench.results(&batch, 30, 5).await);
    let none = bench.results(&batch, 70, 1_000).await;

    assert_eq!(numbers(&all), (1..=70).collect::<Vec<_>>());
    assert_eq!(numbers(&page), [31, 32, 33, 34, 35]);
    assert_eq!(numbers(&none), [0; 0]);

    bench.model.let_go();
    bench.end(&batch, BatchStatus::Completed).await;

    assert_eq!(numbers(&bench.results(&batch, 70, 1_000).await), (71..=100).collect::<Vec<_>>());
    assert_eq!(bench.results(&batch, 0, 1_000).await[..70], all);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_were_never_in_a_shard_have_records_too() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let batch = bench.batch(&messages("hang", 200)).await;
    bench.until(&batch, |row| row.planned_lines > 0).await;

    bench.store.cancel_batch(&bench.tenant, &batch).await.unwrap();

    let row = bench.end(&batch, BatchStatus::Cancelled).await;
    assert!(row.planned_lines < 200, "some lines were never planned");
    assert_eq!(numbers(&bench.results(&batch, 0, 1_000).await), (1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_batch_are_together_its_files() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let contents = [messages("ok", 90), messages("bad", 60)].concat();

    let batch = bench.batch(&contents).await;

    let row = bench.end(&batch, BatchStatus::Completed).await;
    let parts = bench.store.parts(&batch, 0, 1_000).await.unwrap();
    let whole = |part: fn(&store::BatchPart) -> FilePart| {
        parts.iter().map(part).reduce(|mut whole, next| {
            whole.join(&next);
            whole
        })
    };
    let (output, error) = (whole(|part| part.output).unwrap(), whole(|part| part.error).unwrap());
    let lines: usize = parts.iter().map(|part| part.answered.len()).sum();
    let (output_file, error_file) = recorded(&bench, &row).await;
    assert_eq!((parts.len(), lines), (5, 150));
    assert_eq!(((output.bytes, output.crc32c), (error.bytes, error.crc32c)), (output_file, error_file));
}

/// Length and checksum of both files.
async fn recorded(bench: &Bench, row: &BatchRow) -> ((u64, u32), (u64, u32)) {
    let file = async |id: &Option<domain::FileId>| {
        let file = bench.store.file(&bench.tenant, id.as_ref().unwrap()).await.unwrap().unwrap();
        (file.bytes.unsigned_abs(), file.crc32c.unwrap())
    };
    (file(&row.output_file_id).await, file(&row.error_file_id).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_deterministic_lines_are_asked_and_billed_once() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let line = |number: usize| {
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "ok"}], "temperature": 0});
        let line =
            json!({"custom_id": format!("c{number}"), "method": "POST", "url": "/v1/chat/completions", "body": body});
        format!("{line}\n")
    };
    let input: String = (0..20).map(line).collect();

    let batch = bench.batch_like(&input, |new| store::NewBatch { dedup: true, ..new }).await;

    let row = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&row, 20).await.output.len(), 20);
    assert_eq!((bench.model.calls("ok"), row.deduplicated, row.usage.input), (1, 19, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_used_is_summed_and_an_unknown_price_is_told() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch_of(&lines(&messages("ok", 40)), 86_400).await;

    bench.end(&batch, BatchStatus::Completed).await;
    let models = bench.store.model_usage(&[&batch]).await.unwrap().remove(&batch).unwrap();
    let sums: Vec<_> = models.iter().map(|m| (m.model.as_str(), m.requests, m.usage.input, m.unpriced)).collect();
    assert_eq!(sums, [(MODEL, 40, 120, 40)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_changed_on_disk_is_never_published() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let mut contents = messages("ok", 40);
    contents[20] = "hang".to_owned();
    let batch = bench.batch(&contents).await;
    let row = bench.until(&batch, |row| row.counts.recorded() == 39).await;
    let segments = bench.store.segments_of(&batch, 0..=1_000).await.unwrap();
    let path = segments[0].ok.clone().unwrap().path;
    let bytes = bench.blobs.get(&path).await.unwrap();
    bench.overwrite(&path, &std::str::from_utf8(&bytes).unwrap().replace("ok", "no"));

    let read = bench.store.results(&bench.blobs, &row, 0, 1_000).await.unwrap().next().await;

    assert!(read.unwrap_err().chain().contains("checksum"));
    bench.model.let_go();
    bench.until(&batch, |row| row.status == BatchStatus::Finalizing).await;
    bench.overwrite(&path, std::str::from_utf8(&bytes).unwrap());
    let row = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&row, 40).await.output[0]["response"]["body"]["echo"], "ok 0");
}
