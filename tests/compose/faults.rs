//! What happens to containers in the middle of work: nothing is lost, nothing is answered twice, and a stream tells the truth.

use crate::{
    stack::{LIMIT, Stack},
    tests,
};
use e2e::{chat_lines, eventually, scenarios};
use reqwest::Method;
use std::time::Instant;

const LINES: usize = 3_000;
const TOKENS: u32 = 20;
/// Tokens of a stream that is still under way when something happens to its gateway: 20 s of the simulator's time.
const LONG: u32 = 2_000;

tests! {
    a_killed_worker_loses_no_line,
    a_killed_gateway_breaks_its_stream_and_the_other_serves,
    a_restarted_broker_loses_no_line,
    a_restarted_database_loses_no_line,
    a_killed_database_loses_no_line,
    a_draining_gateway_ends_its_stream_and_exits_with_0,
    a_draining_worker_hands_its_shards_over_and_exits_with_0,
}

/// A batch of which a part is done.
async fn batch_under_way(stack: &Stack) -> String {
    let before = stack.answered();
    let batch = stack.gateways[1].submit(chat_lines(LINES, TOKENS)).await;
    stack.until_answered(before, LINES as u64 / 10).await;
    batch
}

/// Waits for the end, audits the files, and says how many calls were made for the lines.
async fn completed(stack: &Stack, batch: &str) {
    let batch = scenarios::completed(&stack.gateways[1], batch, LINES).await;
    println!("{LINES} lines, {} calls made again", batch["usage"]["redone_requests"]);
}

async fn a_killed_worker_loses_no_line(stack: &Stack) {
    let batch = batch_under_way(stack).await;

    stack.kill("worker-1");

    completed(stack, &batch).await;
}

async fn a_killed_gateway_breaks_its_stream_and_the_other_serves(stack: &Stack) {
    let question = scenarios::question(LONG, true);
    let request = stack.gateways[0].request(Method::POST, "/v1/chat/completions").json(&question);
    let mut stream = request.send().await.unwrap();
    let first = stream.chunk().await.unwrap().expect("the stream begins");

    stack.kill("gateway-1");

    let rest = stream.bytes().await;
    assert!(!String::from_utf8_lossy(&first).contains("[DONE]"));
    assert!(rest.is_err(), "a stream that broke is never dressed up as one that ended: {rest:?}");
    scenarios::a_chat_is_streamed(&stack.gateways[1]).await;
    scenarios::a_batch_completes(&stack.gateways[1], 100).await;
    stack.start("gateway-1").await;
    scenarios::a_chat_is_streamed(&stack.gateways[0]).await;
}

async fn a_restarted_broker_loses_no_line(stack: &Stack) {
    let batch = batch_under_way(stack).await;

    stack.restart("rabbitmq");

    completed(stack, &batch).await;
    stack.until_healthy("rabbitmq").await;
    scenarios::a_batch_completes(&stack.gateways[0], 100).await;
}

async fn a_restarted_database_loses_no_line(stack: &Stack) {
    let batch = batch_under_way(stack).await;

    stack.restart("postgres");

    completed(stack, &batch).await;
    all_serve(stack).await;
}

async fn a_killed_database_loses_no_line(stack: &Stack) {
    let batch = batch_under_way(stack).await;

    stack.kill("postgres");
    stack.start("postgres").await;

    completed(stack, &batch).await;
    all_serve(stack).await;
}

/// Both gateways recover by themselves.
async fn all_serve(stack: &Stack) {
    for gateway in &stack.gateways {
        let serves = async || gateway.ask("/v1/chat/completions", &scenarios::question(1, false)).await.0 == 200;
        assert!(eventually(LIMIT, serves).await, "{}", stack.log());
    }
}

async fn a_draining_gateway_ends_its_stream_and_exits_with_0(stack: &Stack) {
    let [draining, _] = &stack.gateways;
    let request = draining.request(Method::POST, "/v1/chat/completions").json(&scenarios::question(LONG, true));
    let mut stream = request.send().await.unwrap();
    let first = stream.chunk().await.unwrap().expect("the stream begins");

    let mut stopping = stack.begin_to_stop("gateway-1");
    let is_refusing = async || draining.request(Method::GET, "/v1/models").send().await.is_err();
    let refusal = async { (eventually(LIMIT, is_refusing).await, Instant::now()) };
    let rest = async { (stream.text().await.expect("the rest"), Instant::now()) };
    let (rest, refusal) = tokio::join!(rest, refusal);

    let whole = String::from_utf8_lossy(&first).into_owned() + &rest.0;
    scenarios::assert_ended(&whole);
    assert!(refusal.0 && refusal.1 < rest.1, "the stream went on while new connections were refused");
    assert!(stopping.wait().unwrap().success());
    assert_eq!(stack.inspect("gateway-1")["State"]["ExitCode"], 0, "{}", stack.log());
}

async fn a_draining_worker_hands_its_shards_over_and_exits_with_0(stack: &Stack) {
    let batch = batch_under_way(stack).await;

    stack.stop("worker-2");

    assert_eq!(stack.inspect("worker-2")["State"]["ExitCode"], 0, "{}", stack.log());
    completed(stack, &batch).await;
}
