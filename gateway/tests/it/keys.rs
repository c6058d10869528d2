//! How soon keys begin and cease to work.

use crate::app::{TestApp, as_key, new_key};
use axum::body::Body;
use http::StatusCode;
use std::time::Duration;

async fn status(app: &TestApp, key: &str) -> StatusCode {
    app.send(as_key(key, "GET", "/v1/models").body(Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn a_new_key_works_at_once() {
    let app = TestApp::start().await;
    assert_eq!(status(&app, "tdm_unknown").await, StatusCode::UNAUTHORIZED);

    let (_, secret) = new_key(&app.store, "acme").await;

    assert_eq!(status(&app, &secret).await, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_key_stops_after_the_next_refresh() {
    let app = TestApp::start().await;
    let (id, secret) = new_key(&app.store, "acme").await;
    assert_eq!(status(&app, &secret).await, StatusCode::OK);
    let background = tokio::spawn(app.gateway.clone().run_background(app.drain.clone()));

    app.store.revoke_key(&id).await.unwrap();

    let stops = async {
        while status(&app, &secret).await == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stops).await.unwrap();
    assert_eq!(status(&app, &secret).await, StatusCode::UNAUTHORIZED);
    app.drain.begin();
    background.await.unwrap().unwrap();
}

#[tokio::test]
async fn known_keys_go_on_working_without_the_database() {
    let app = TestApp::start().await;
    assert_eq!(status(&app, &app.key).await, StatusCode::OK);

    app.store.close().await;

    assert_eq!(status(&app, &app.key).await, StatusCode::OK);
    assert_eq!(status(&app, "tdm_unknown").await, StatusCode::SERVICE_UNAVAILABLE);
}
