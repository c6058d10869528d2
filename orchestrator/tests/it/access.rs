//! Whom the internal service refuses, and what its callers then say.

use crate::setup::{Setup, access, caller};
use domain::Kind;
use orchestrator::{CREDENTIALS_REFUSED, Caller, ModelBackend, UpstreamClient, http::routes, remote::RemoteBackend};
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_process_without_the_secret_gets_nothing() {
    let [direct, ..] = Setup::each(&["chat"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let service = routes(Arc::clone(&direct.backend), access());
    let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    for caller in [Caller::default(), caller("the secret of somebody")] {
        let error = RemoteBackend::new(&url, UpstreamClient::new(), caller).models().await.unwrap_err();

        assert_eq!((error.kind(), error.code()), (Kind::BadUpstream, Some(CREDENTIALS_REFUSED)));
    }
    server.abort();
}
