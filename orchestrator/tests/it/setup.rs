//! A router over the replaying server, alone and behind the internal service.

use crate::upstream::Upstream;
use async_trait::async_trait;
use bytes::Bytes;
use chassis::settings::Secret;
use domain::{Class, RequestContext, RequestId, Result, TenantId};
use orchestrator::{
    Access, Caller, DeploymentInfo, Dialect, ModelBackend, ModelInfo, ModelRequest, ModelResponse, Router, Sending,
    UpstreamClient,
    catalog::Catalog,
    http::routes,
    remote::RemoteBackend,
    settings::{AccessSettings, ModelsSettings, OrchestratorSettings},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) const CHAT_BODY: &str = r#"{ "messages":[{"role":"user","content":"public"}] , "model" : "public","stream":STREAM, "vendor_extra":{"a":[1]}}"#;

pub(crate) struct Setup {
    pub(crate) upstream: Upstream,
    pub(crate) router: Arc<Router>,
    pub(crate) backend: Arc<dyn ModelBackend>,
    /// Which of the implementations it is.
    pub(crate) name: &'static str,
    _servers: JoinSet<()>,
}

impl Setup {
    /// Every implementation there is, each with a server and a router of its own. One model, `public`, whose deployments play
    /// these scenarios in this order.
    pub(crate) async fn each(scenarios: &[&str]) -> [Self; 3] {
        let toml = catalog_text(scenarios);
        Self::each_with(&toml).await
    }

    /// Every implementation, for a catalog in which `UPSTREAM` stands for the server's address, and `SLAMMING` for that of one
    /// that closes every connection.
    pub(crate) async fn each_with(toml: &str) -> [Self; 3] {
        let direct = Self::start(toml).await;
        let remote = Self::start_remote(toml).await;
        let mut told = Self::start_remote(toml).await;
        told.backend = Arc::new(Told(told.backend));
        told.name = "told";
        [direct, remote, told]
    }

    async fn start_remote(toml: &str) -> Self {
        let mut remote = Self::start(toml).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let service = routes(remote.router.clone(), access());
        remote._servers.spawn(async move { axum::serve(listener, service).await.unwrap() });
        remote.backend = Arc::new(RemoteBackend::new(&url, UpstreamClient::new(), caller(SECRET)));
        remote.name = "remote";
        remote
    }

    async fn start(toml: &str) -> Self {
        let upstream = Upstream::start().await;
        let catalog = catalog(toml, &upstream);
        let router = Arc::new(Router::new(catalog, UpstreamClient::new(), &ModelsSettings::default()));
        Self { upstream, backend: router.clone(), router, name: "direct", _servers: JoinSet::new() }
    }
}

/// Wants to know of each request when it goes out, as workers do.
struct Told(Arc<dyn ModelBackend>);

#[async_trait]
impl ModelBackend for Told {
    async fn call(&self, ctx: &RequestContext, mut request: ModelRequest) -> Result<ModelResponse> {
        request.sending.get_or_insert_with(|| Sending::new(|| {}));
        self.0.call(ctx, request).await
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        self.0.models().await
    }

    async fn deployments(&self) -> Result<Vec<DeploymentInfo>> {
        self.0.deployments().await
    }
}

pub(crate) const SECRET: &str = "the secret of the tests";

/// A guard that takes [`SECRET`].
pub(crate) fn access() -> Access {
    let settings = AccessSettings { secret: Secret::from(SECRET.to_owned()), ..AccessSettings::default() };
    Access::open(&settings, SocketAddr::from(([0, 0, 0, 0], 80))).unwrap()
}

/// The credentials of a process that sends this secret.
pub(crate) fn caller(secret: &str) -> Caller {
    let secret = Secret::from(secret.to_owned());
    Caller::open(&OrchestratorSettings { secret, ..OrchestratorSettings::default() }).unwrap()
}

pub(crate) fn catalog(toml: &str, upstream: &Upstream) -> Catalog {
    let addresses = [("UPSTREAM", upstream.address()), ("SLAMMING", upstream.slamming())];
    let toml = addresses.iter().fold(toml.to_owned(), |toml, (word, address)| toml.replace(word, &address.to_string()));
    Catalog::parse(&toml).unwrap()
}

pub(crate) fn catalog_text(scenarios: &[&str]) -> String {
    let mut toml = "[[model]]\nname = \"public\"\npolicy = \"priority\"\n".to_owned();
    for (priority, scenario) in scenarios.iter().enumerate() {
        toml.push_str(&deployment(scenario, priority));
    }
    toml
}

/// A `[[model.deployment]]` that plays a scenario.
pub(crate) fn deployment(scenario: &str, priority: usize) -> String {
    let url = match scenario {
        "refused" => "http://127.0.0.1:1/v1".to_owned(),
        "slams" => "http://SLAMMING/v1".to_owned(),
        _ => format!("http://UPSTREAM/{scenario}/v1"),
    };
    let first_token_ms = if matches!(scenario, "silent" | "slow_start") { 300 } else { 60_000 };
    let idle_ms = if scenario == "stalls" { 300 } else { 60_000 };
    format!(
        "[[model.deployment]]\nname = \"{scenario}\"\nengine = \"vllm\"\nurl = \"{url}\"\nupstream_model = \"tiny\"\n\
         priority = {priority}\nfirst_token_ms = {first_token_ms}\nidle_ms = {idle_ms}\n"
    )
}

pub(crate) fn chat(stream: bool) -> ModelRequest {
    request(Dialect::Chat, stream)
}

pub(crate) fn request(dialect: Dialect, stream: bool) -> ModelRequest {
    let asked = if stream { r#"true,"stream_options":{"include_usage":true}"# } else { "false" };
    parse(dialect, &CHAT_BODY.replace("STREAM", asked))
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
        trace: domain::TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        deadline: None,
        wishes: domain::Wishes::default(),
    }
}
