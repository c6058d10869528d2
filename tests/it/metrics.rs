//! What a process tells of its model calls: names that dashboards rely on, labels that stay few, no text of a prompt.

use e2e::{Database, Site};
use serde_json::json;

#[tokio::test]
async fn model_calls_are_measured_and_strangers_make_no_series() {
    let site = Site::new(Database::Sqlite, 0.0).await;
    let process = site.start().await;
    let chat = |model: &str, stream: bool| {
        json!({"model": model, "stream": stream, "max_tokens": 4,
               "messages": [{"role": "user", "content": "a prompt that nobody else may read"}]})
    };

    for (model, stream) in
        [("tandem-sim", true), ("tandem-sim", false), ("no-such-model-1", false), ("no-such-model-2", true)]
    {
        site.ask(&process, "/v1/chat/completions", &chat(model, stream)).await;
    }
    let page = site.metrics(&process).await;

    for name in [
        "gen_ai_client_token_usage_sum",
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "gen_ai_client_operation_time_per_output_chunk_seconds_count",
        "tandem_attempts_total",
        "tandem_overhead_seconds_count",
        "tandem_output_tokens_total",
    ] {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}:\n{page}"));
        for label in
            ["gen_ai_operation_name=\"chat\"", "gen_ai_provider_name=\"vllm\"", "tandem_deployment=\"upstream\""]
        {
            assert!(line.contains(label), "{line}");
        }
    }
    assert!(page.contains("tandem_endpoints{") && page.contains("breaker=\"closed\""), "{page}");
    assert!(!page.contains("no-such-model") && !page.contains("nobody else") && !page.contains(&site.key), "{page}");
}
