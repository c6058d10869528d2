//! What a well-behaved request gets.

use serde_json::{Value, json};
use simulator::{SimulatorSettings, answer, chat_prompt, embedding};

use crate::harness::{Server, chat, chunks, events, instant, spoken, streamed};

#[tokio::test]
async fn a_whole_answer_is_the_one_that_can_be_foretold() {
    let server = Server::start(SimulatorSettings { seed: 5, ..instant() }).await;

    let (status, body) = server.json(server.chat(&chat("hello there", 7))).await;

    let expected = answer(5, &chat_prompt([("user", "hello there")]), 7).concat();
    assert_eq!(status, 200);
    assert_eq!(body["choices"][0]["message"]["content"], expected);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["prompt_tokens"], 5);
    assert_eq!(body["usage"]["completion_tokens"], 7);
}

#[tokio::test]
async fn a_stream_says_the_same_as_the_whole_answer() {
    let server = Server::start(instant()).await;
    let body = chat("tell me", 40);

    let text = server.chat(&streamed(body.clone())).send().await.unwrap().text().await.unwrap();

    let (_, whole) = server.json(server.chat(&body)).await;
    assert_eq!(whole["choices"][0]["message"]["content"], spoken(&text));
}

#[tokio::test]
async fn a_stream_has_the_chunks_of_vllm() {
    let server = Server::start(instant()).await;

    let response = server.chat(&streamed(chat("hi", 2))).header("x-request-id", "r-1").send().await.unwrap();
    let content_type = response.headers()["content-type"].clone();
    let text = response.text().await.unwrap();

    let chunks = chunks(&text);
    assert_eq!(content_type, "text/event-stream; charset=utf-8");
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-r-1" && chunk["object"] == "chat.completion.chunk"));
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "length");
    assert_eq!(events(&text).last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn usage_has_a_chunk_of_its_own_if_asked_for() {
    let server = Server::start(instant()).await;
    let mut body = streamed(chat("hi", 2));
    body["stream_options"] = json!({"include_usage": true});

    let text = server.chat(&body).send().await.unwrap().text().await.unwrap();

    let last = chunks(&text).pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], json!({"prompt_tokens": 4, "total_tokens": 6, "completion_tokens": 2}));
}

#[tokio::test]
async fn several_choices_differ_and_are_counted_together() {
    let server = Server::start(instant()).await;
    let mut body = chat("hi", 6);
    body["n"] = json!(3);

    let (_, answer) = server.json(server.chat(&body)).await;

    let texts: Vec<_> = answer["choices"].as_array().unwrap().iter().map(|c| &c["message"]["content"]).collect();
    assert_eq!(answer["usage"]["completion_tokens"], 18);
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_before_it() {
    let server = Server::start(instant()).await;
    let words = answer(0, &chat_prompt([("user", "hi")]), 10);
    let mut body = chat("hi", 10);
    body["stop"] = json!([words[3]]);

    let (_, whole) = server.json(server.chat(&body)).await;
    let text = server.chat(&streamed(body)).send().await.unwrap().text().await.unwrap();

    let choice = &whole["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!(words[3])));
    assert!(words.concat().starts_with(choice["message"]["content"].as_str().unwrap()));
    assert_eq!(choice["message"]["content"], spoken(&text));
}

#[tokio::test]
async fn completions_take_several_prompts() {
    let server = Server::start(instant()).await;

    let body = json!({"prompt": ["one two", "three"], "max_tokens": 3});
    let (status, body) = server.json(server.post("/v1/completions", &body)).await;

    assert_eq!((status, &body["object"]), (200, &json!("text_completion")));
    assert_eq!(body["choices"][1]["text"], answer(0, "three", 3).concat());
    assert_eq!(body["usage"]["total_tokens"], 9);
}

#[tokio::test]
async fn completions_stream_without_a_role() {
    let server = Server::start(instant()).await;

    let body = json!({"prompt": "one", "max_tokens": 2, "stream": true});
    let text = server.post("/v1/completions", &body).send().await.unwrap().text().await.unwrap();

    let said: String = chunks(&text).iter().map(|c| c["choices"][0]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, answer(0, "one", 2).concat());
}

#[tokio::test]
async fn embeddings_can_be_foretold() {
    let server = Server::start(instant()).await;

    let body = json!({"input": ["a b", "c"], "dimensions": 8});
    let (_, body) = server.json(server.post("/v1/embeddings", &body)).await;

    assert_eq!(body["data"][1]["embedding"], json!(embedding(0, "c", 8)));
    assert_eq!(body["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn models_health_and_version_answer() {
    let server = Server::start(instant()).await;

    let health = server.get("/health").send().await.unwrap();
    let (_, models) = server.json(server.get("/v1/models")).await;
    let (_, version) = server.json(server.get("/version")).await;

    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, ""));
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["owned_by"]), (&json!("tandem-sim"), &json!("vllm")));
    assert_eq!(version, json!({"version": "0.32.0"}));
}
