//! A router over the replaying server, alone and behind the internal service.

use crate::upstream::Upstream;
use bytes::Bytes;
use domain::{Class, RequestContext, RequestId, TenantId};
use orchestrator::{
    Dialect, ModelBackend, ModelRequest, Router, UpstreamClient, catalog::Catalog, http::routes, remote::RemoteBackend,
};
use std::{fmt::Write, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) const CHAT_BODY: &str = r#"{ "messages":[{"role":"user","content":"public"}] , "model" : "public","stream":STREAM, "vendor_extra":{"a":[1]}}"#;

pub(crate) struct Setup {
    pub(crate) upstream: Upstream,
    pub(crate) router: Arc<Router>,
    remote: Arc<RemoteBackend>,
    _servers: JoinSet<()>,
}

impl Setup {
    /// One model, `public`, whose deployments play these scenarios in this order.
    pub(crate) async fn start(scenarios: &[&str]) -> Self {
        let upstream = Upstream::start().await;
        let router = Arc::new(Router::new(catalog(scenarios, upstream.address()), UpstreamClient::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let service = routes(router.clone());
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, service).await.unwrap() });
        let remote = Arc::new(RemoteBackend::new(&url, UpstreamClient::new()));
        Self { upstream, router, remote, _servers: servers }
    }

    /// Every implementation there is.
    pub(crate) fn backends(&self) -> [Arc<dyn ModelBackend>; 2] {
        [self.router.clone(), self.remote.clone()]
    }
}

pub(crate) fn catalog(scenarios: &[&str], upstream: SocketAddr) -> Catalog {
    let mut toml = "[[model]]\nname = \"public\"\n".to_owned();
    for (priority, scenario) in scenarios.iter().enumerate() {
        let url = match *scenario {
            "refused" => "http://127.0.0.1:1/v1".to_owned(),
            _ => format!("http://{upstream}/{scenario}/v1"),
        };
        let first_token_ms = if *scenario == "silent" { 300 } else { 60_000 };
        let idle_ms = if *scenario == "stalls" { 300 } else { 60_000 };
        write!(
            toml,
            "[[model.deployment]]\nname = \"{scenario}\"\nurl = \"{url}\"\nupstream_model = \"tiny\"\n\
             priority = {priority}\nfirst_token_ms = {first_token_ms}\nidle_ms = {idle_ms}\n"
        )
        .unwrap();
    }
    Catalog::parse(&toml).unwrap()
}

pub(crate) fn chat(stream: bool) -> ModelRequest {
    request(Dialect::Chat, stream)
}

pub(crate) fn request(dialect: Dialect, stream: bool) -> ModelRequest {
    parse(dialect, &CHAT_BODY.replace("STREAM", if stream { "true" } else { "false" }))
}

pub(crate) fn parse(dialect: Dialect, body: &str) -> ModelRequest {
    ModelRequest::parse(dialect, Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

pub(crate) fn context() -> RequestContext {
    RequestContext {
        request_id: RequestId::generate(),
        tenant: TenantId::generate(),
        key: None,
        class: Class::Interactive,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        deadline: None,
    }
}
