//! The table from kinds to answers, and ports that can't be had.

use axum::response::IntoResponse;
use chassis::{error_body, http::ApiError, http::bind, status_of, type_of};
use domain::{Error, Kind};
use http_body_util::BodyExt;
use std::time::Duration;

#[tokio::test]
async fn an_error_keeps_its_four_keys_and_says_when_to_come_back() {
    let wait = Some(Duration::from_millis(2300));
    let error =
        Error::new(Kind::RateLimited { retry_after: wait }, "Too many requests.").with_code("rate_limit_exceeded");

    let response = ApiError::from(error).into_response();

    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "3");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let expected = concat!(
        r#"{"error":{"message":"Too many requests.","type":"rate_limit_error","param":null,"#,
        r#""code":"rate_limit_exceeded"}}"#
    );
    assert_eq!(body, expected);
}

#[test]
fn the_status_says_who_is_at_fault() {
    assert_eq!(status_of(Kind::InvalidRequest), 400);
    assert_eq!(status_of(Kind::Unauthenticated), 401);
    assert_eq!(status_of(Kind::Unavailable), 503);
    assert_eq!(type_of(Kind::NotFound), "invalid_request_error");
    assert_eq!(type_of(Kind::BadUpstream), "server_error");
}

#[test]
fn the_parameter_reaches_the_body_and_the_cause_does_not() {
    let error = Error::invalid("`n` must be 1.").with_param("n").with_source("a detail for the log");

    let body = serde_json::to_string(&error_body(&error)).unwrap();

    assert!(body.contains(r#""param":"n""#) && !body.contains("detail"), "{body}");
}

#[tokio::test]
async fn a_taken_port_comes_with_the_way_out() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = taken.local_addr().unwrap();

    let error = bind(addr).await.unwrap_err();

    assert_eq!(error.kind(), Kind::Unavailable);
    let text = error.to_string();
    assert!(text.contains(&format!("port {} is taken", addr.port())) && text.contains("`bind`"), "{text}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let text = bind("192.0.2.1:8080".parse().unwrap()).await.unwrap_err().to_string();

    assert!(text.contains("192.0.2.1") && text.contains("127.0.0.1:8080"), "{text}");
}
