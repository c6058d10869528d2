//! What becomes of lines while nothing breaks.

use crate::bench::{Bench, TRACEPARENT, lines, messages};
use domain::BatchStatus;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_lines_complete_in_input_order() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 300)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    let files = bench.files(&batch, 300).await;
    assert_eq!((files.output.len(), batch.error_file_id), (300, None));
    assert_eq!(files.output[7]["response"]["body"]["echo"], "ok 7");
    assert_eq!((batch.counts.completed, batch.usage.input, batch.redone_requests), (300, 900, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_fail_go_to_the_error_file() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let mut contents = messages("ok", 40);
    contents[3] = "bad".to_owned();
    contents[33] = "broken".to_owned();

    let batch = bench.batch(&contents).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    let files = bench.files(&batch, 40).await;
    let statuses: Vec<_> = files.error.iter().map(|line| line["response"]["status_code"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [400, 502]);
    assert_eq!(files.error[0]["response"]["body"]["error"]["message"], "no");
    assert_eq!((batch.counts.completed, batch.counts.failed), (38, 2));
    assert_eq!((bench.model.calls("bad"), bench.model.calls("broken")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_platforms_key_charges_no_line() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("locked", 1)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!((batch.counts.completed, batch.counts.failed), (1, 0));
    assert_eq!(bench.model.calls("locked 0"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_belongs_to_the_trace_of_its_batch() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 5)).await;

    bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.model.traces(), [Some(TRACEPARENT.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_failures_has_no_output_file() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("bad", 3)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(batch.output_file_id, None);
    assert_eq!(bench.files(&batch, 3).await.error.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_model_costs_no_line_its_answer() {
    let bench = Bench::new().await;
    let _worker = bench.work();

    let batch = bench.batch(&messages("busy", 10)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 10).await.output.len(), 10);
    assert_eq!(bench.model.calls("busy 0"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_input_fails_with_every_mistake() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let good = lines(&messages("ok", 1));
    let wrong_url = good.replace("/v1/chat/completions", "/v1/embeddings").replace("c0", "c1");
    let wrong_model = good.replace(r#""model":"m""#, r#""model":"nobody""#).replace("c0", "c2");

    let batch = bench.batch_of(&format!("{good}\n{wrong_url}{wrong_model}"), 86_400).await;

    let batch = bench.end(&batch, BatchStatus::Failed).await;
    let errors: Vec<Value> = serde_json::from_str(&batch.errors_json.unwrap()).unwrap();
    let found: Vec<_> = errors.iter().map(|error| (error["code"].as_str().unwrap(), error["line"].as_u64())).collect();
    assert_eq!(found, [("url_mismatch", Some(3)), ("model_not_found", Some(4))]);
    assert_eq!((batch.output_file_id, batch.error_file_id, batch.total_lines), (None, None, 0));
}
