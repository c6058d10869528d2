//! Every fault, as a client sees it.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Server, chat, events, instant, streamed};

/// Long enough to tell silence from an answer that takes no time.
const SILENCE: Duration = Duration::from_millis(200);

async fn received(response: reqwest::Response) -> (String, bool) {
    let mut body = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return (String::from_utf8(bytes).unwrap(), false),
        }
    }
    (String::from_utf8(bytes).unwrap(), true)
}

#[tokio::test]
async fn a_status_comes_with_retry_after() {
    let server = Server::start(instant()).await;

    let response = server.faulty("status=503;retry_after=2", &chat("hi", 4)).send().await.unwrap();

    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(server.sim.stats().failed, 1);
}

#[tokio::test]
async fn hang_never_answers() {
    let server = Server::start(instant()).await;

    let answer = tokio::time::timeout(SILENCE, server.faulty("hang", &chat("hi", 4)).send()).await;

    assert!(answer.is_err());
    server.until(|stats| stats.aborted == 1).await;
}

#[tokio::test]
async fn reset_breaks_the_connection_before_any_header() {
    let server = Server::start(instant()).await;

    let error = server.faulty("reset", &chat("hi", 4)).send().await.unwrap_err();

    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
}

#[tokio::test]
async fn cut_closes_the_stream_after_so_many_tokens() {
    let server = Server::start(instant()).await;

    let response = server.faulty("cut=3", &streamed(chat("hi", 10))).send().await.unwrap();
    let (text, is_whole) = received(response).await;

    assert!(!is_whole);
    assert_eq!(events(&text).len(), 1 + 3);
    server.until(|stats| stats.failed == 1 && stats.running == 0).await;
}

#[tokio::test]
async fn cut_closes_a_whole_answer_in_the_middle() {
    let server = Server::start(instant()).await;

    let response = server.faulty("cut=1", &chat("hi", 10)).send().await.unwrap();
    let announced = response.content_length().unwrap() as usize;
    let (text, is_whole) = received(response).await;

    assert!(!is_whole);
    assert_eq!(text.len(), announced / 2);
}

#[tokio::test]
async fn stall_goes_silent_after_so_many_tokens() {
    let server = Server::start(instant()).await;

    let response = server.faulty("stall=2", &streamed(chat("hi", 10))).send().await.unwrap();
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while let Ok(Some(piece)) = tokio::time::timeout(SILENCE, body.next()).await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }

    assert_eq!(events(&text).len(), 1 + 2);
}

#[tokio::test]
async fn malformed_breaks_one_event_and_goes_on() {
    let server = Server::start(instant()).await;

    let response = server.faulty("malformed=1", &streamed(chat("hi", 4))).send().await.unwrap();
    let text = response.text().await.unwrap();

    let is_json: Vec<_> = events(&text).iter().map(|data| serde_json::from_str::<Value>(data).is_ok()).collect();
    assert_eq!(is_json, [true, true, false, true, true, false]);
    assert_eq!(events(&text).last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn malformed_breaks_a_whole_answer() {
    let server = Server::start(instant()).await;

    let response = server.faulty("malformed=0", &chat("hi", 4)).send().await.unwrap();

    assert_eq!(response.status(), 200);
    assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_err());
}

#[tokio::test]
async fn no_done_ends_the_stream_in_order_but_unmarked() {
    let server = Server::start(instant()).await;

    let response = server.faulty("no_done", &streamed(chat("hi", 2))).send().await.unwrap();
    let (text, is_whole) = received(response).await;

    assert!(is_whole);
    assert!(!text.contains("[DONE]"));
    assert_eq!(events(&text).len(), 3);
}

#[tokio::test]
async fn error_is_an_event_inside_the_stream() {
    let server = Server::start(instant()).await;

    let response = server.faulty("error=0", &streamed(chat("hi", 2))).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();

    let first: Value = serde_json::from_str(events(&text)[0]).unwrap();
    assert_eq!((status.as_u16(), &first["error"]["code"]), (200, &json!(500)));
}

#[tokio::test]
async fn slow_bytes_come_one_by_one_and_add_up() {
    let server = Server::start(instant()).await;
    let begun = Instant::now();

    let (status, body) = server.json(server.faulty("slow_bytes=1", &chat("hi", 1))).await;

    assert_eq!((status, &body["object"]), (200, &json!("chat.completion")));
    assert!(begun.elapsed() > Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn armed_faults_hit_as_often_as_asked() {
    let server = Server::start(instant()).await;
    let armed = json!({"fault": "status=500", "times": 2});
    server.post("/sim/faults", &armed).send().await.unwrap().error_for_status().unwrap();

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.chat(&chat("hi", 1)).send().await.unwrap().status().as_u16());
    }

    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn deleted_faults_hit_no_more() {
    let server = Server::start(instant()).await;
    server.post("/sim/faults", &json!({"fault": "status=500"})).send().await.unwrap();

    server.delete("/sim/faults").send().await.unwrap();

    assert_eq!(server.chat(&chat("hi", 1)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_fault_nobody_knows_is_a_mistake() {
    let server = Server::start(instant()).await;

    let (status, body) = server.json(server.faulty("explode", &chat("hi", 1))).await;

    assert_eq!((status, &body["error"]["param"]), (400, &json!("x-sim-fault")));
}
