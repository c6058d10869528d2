//! What a bad request gets: vLLM's shapes.

use serde_json::{Value, json};
use simulator::SimulatorSettings;

use crate::harness::{Server, chat, instant};

async fn refused(body: Value) -> (u16, Value) {
    let server = Server::start(SimulatorSettings { max_model_len: 100, ..instant() }).await;
    let (status, body) = server.json(server.chat(&body)).await;
    (status, body["error"].clone())
}

fn with(field: &str, value: Value) -> Value {
    let mut body = chat("hi", 4);
    body[field] = value;
    body
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let (status, error) = refused(with("model", json!("nope"))).await;

    assert_eq!(status, 404);
    assert_eq!(
        error,
        json!({
            "message": "The model `nope` does not exist. Valid aliases: tandem-sim.", "type": "NotFoundError",
            "param": "model", "code": 404,
        })
    );
}

#[tokio::test]
async fn bad_values_name_their_parameter() {
    for (field, value) in [
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(101)),
        ("temperature", json!(-1)),
        ("temperature", json!(3)),
        ("top_p", json!(2)),
        ("stream_options", json!({"include_usage": true})),
    ] {
        let (status, error) = refused(with(field, value)).await;

        assert_eq!((status, &error["param"], &error["code"]), (400, &json!(field), &json!(400)));
        assert_eq!(error["type"], "BadRequestError");
    }
}

#[tokio::test]
async fn missing_messages_are_a_schema_error() {
    let (status, error) = refused(json!({"model": "tandem-sim"})).await;

    assert_eq!((status, &error["type"], &error["param"]), (400, &json!("Bad Request"), &json!("body.messages")));
}

#[tokio::test]
async fn a_prompt_over_the_context_is_refused_before_the_stream_opens() {
    let mut body = chat(&"word ".repeat(100), 1);
    body["stream"] = json!(true);

    let (status, error) = refused(body).await;

    assert_eq!((status, &error["param"]), (400, &json!("input_tokens")));
}

#[tokio::test]
async fn prompt_and_answer_over_the_context_are_clipped() {
    let server = Server::start(SimulatorSettings { max_model_len: 100, ..instant() }).await;

    let (_, body) = server.json(server.chat(&chat(&"word ".repeat(87), 50))).await;

    assert_eq!(body["usage"]["total_tokens"], 100);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn unknown_paths_and_methods_get_a_detail() {
    let server = Server::start(instant()).await;

    let missing = server.json(server.get("/nope")).await;
    let method = server.json(server.get("/v1/chat/completions")).await;

    assert_eq!(missing, (404, json!({"detail": "Not Found"})));
    assert_eq!(method, (405, json!({"detail": "Method Not Allowed"})));
}
