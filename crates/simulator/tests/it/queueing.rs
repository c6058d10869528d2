//! Load: who waits, what the metrics show, and what a client that hangs up frees.

use futures::future::join_all;
use serde_json::{Value, json};
use simulator::SimulatorSettings;

use crate::harness::{Server, chat, chunks, endless, events, instant, streamed};

#[tokio::test]
async fn a_client_that_hangs_up_frees_its_place() {
    let server = Server::start(endless()).await;
    let stream = server.chat(&streamed(chat("hi", 10))).send().await.unwrap();
    let whole = tokio::spawn(server.chat(&chat("hi", 10)).send());
    server.until(|stats| stats.running == 2).await;

    drop(stream);
    whole.abort();

    let stats = server.until(|stats| stats.running == 0).await;
    assert_eq!((stats.requests, stats.aborted, stats.completed), (2, 2, 0));
    assert!(server.metrics().await.contains(r#"finished_reason="abort",model_name="tandem-sim"} 0.0"#));
}

#[tokio::test]
async fn the_waiting_are_visible_in_the_metrics() {
    let server = Server::start(SimulatorSettings { max_num_seqs: 2, ..endless() }).await;
    let requests: Vec<_> = (0..5).map(|_| tokio::spawn(server.chat(&chat("hi", 10)).send())).collect();
    server.until(|stats| stats.waiting == 3).await;

    let metrics = server.metrics().await;

    assert!(metrics.contains(r#"vllm:num_requests_running{engine="0",model_name="tandem-sim"} 2.0"#));
    assert!(metrics.contains(r#"vllm:num_requests_waiting{engine="0",model_name="tandem-sim"} 3.0"#));
    assert!(metrics.contains(r#"{engine="0",model_name="tandem-sim",reason="capacity"} 3.0"#), "{metrics}");
    requests.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_full_queue_is_503_and_inside_a_stream_a_200() {
    let settings = SimulatorSettings { max_num_seqs: 1, max_num_queued: Some(0), ..endless() };
    let server = Server::start(settings).await;
    let _running = server.chat(&streamed(chat("hi", 10))).send().await.unwrap();

    let (whole, body) = server.json(server.chat(&chat("hi", 10))).await;
    let stream = server.chat(&streamed(chat("hi", 10))).send().await.unwrap();

    assert_eq!((whole, &body["error"]["type"]), (503, &json!("Service Unavailable")));
    assert_eq!(stream.status(), 200);
    let text = stream.text().await.unwrap();
    let first: Value = serde_json::from_str(events(&text)[0]).unwrap();
    assert_eq!((&first["error"]["code"], events(&text)[1]), (&json!(503), "[DONE]"));
    assert!(server.metrics().await.contains(r#"reason="max_num_queued_reqs"} 2.0"#));
}

#[tokio::test]
async fn too_small_a_cache_preempts_and_every_answer_is_whole() {
    let settings = SimulatorSettings { kv_tokens: 128, decode_tokens_per_sec: 2_000.0, ..instant() };
    let server = Server::start(settings).await;

    let answers = join_all((0..4).map(|_| server.json(server.chat(&chat("one two three", 90))))).await;

    assert!(answers.iter().all(|(_, body)| body["usage"]["completion_tokens"] == 90));
    assert!(server.sim.stats().preemptions > 0);
}

#[tokio::test]
async fn a_repeated_prompt_is_cached() {
    let server = Server::start(instant()).await;
    let body = chat(&"word ".repeat(60), 1);

    server.chat(&body).send().await.unwrap();
    server.chat(&body).send().await.unwrap();

    let stats = server.sim.stats();
    assert_eq!((stats.tokens.prompt, stats.tokens.cached, stats.tokens.generated), (126, 48, 2));
    assert!(server.metrics().await.contains(r#"prefix_cache_hits_total{engine="0",model_name="tandem-sim"} 48.0"#));
}

#[tokio::test]
async fn hundreds_of_streams_end_whole() {
    let settings = SimulatorSettings { decode_tokens_per_sec: 1_000.0, max_num_seqs: 200, ..instant() };
    let server = Server::start(settings).await;

    let streams = join_all((0..300).map(|number| {
        let request = server.chat(&streamed(chat(&format!("hi {number}"), 20)));
        async move { request.send().await.unwrap().text().await.unwrap() }
    }))
    .await;

    assert!(streams.iter().all(|text| chunks(text).len() == 21));
    server.until(|stats| stats.completed == 300 && stats.running == 0).await;
}

#[tokio::test]
async fn a_shutdown_drops_every_connection() {
    let server = Server::start(endless()).await;
    let stream = server.chat(&streamed(chat("hi", 10))).send().await.unwrap();

    server.shutdown.cancel();
    server.task.await.unwrap();

    assert!(stream.text().await.is_err());
    assert_eq!(server.sim.stats().aborted, 1);
}
