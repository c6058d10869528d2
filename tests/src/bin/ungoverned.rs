//! The way of a request to a model without anything that governs it: no key, no limit, no ledger. `make bench-proxies` compares it
//! with the gateway, to say what governing costs.

use axum::{Router, body::Body, extract::State, response::Response, routing::post};
use bytes::Bytes;
use chassis::{
    http::{self, ApiError, HttpSettings},
    process::{AdminSettings, DrainSettings, Process},
    telemetry::TelemetrySettings,
};
use domain::{Class, RequestContext, RequestId, TenantId, Wishes};
use futures::StreamExt;
use orchestrator::{
    Dialect, Frame, ModelBackend, ModelRequest,
    settings::{ModelsSettings, OrchestratorSettings},
};
use serde::{Deserialize, Serialize};
use std::{io, sync::Arc};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    http: HttpSettings,
    admin: AdminSettings,
    models: ModelsSettings,
    drain: DrainSettings,
    telemetry: TelemetrySettings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings: Settings = chassis::settings::load(None, std::env::vars())?;
    let mut process = Process::start(&settings.telemetry, &settings.admin, &settings.drain).await?;
    let backend = orchestrator::open(&OrchestratorSettings::default(), &settings.models, &mut process)?;
    let routes = Router::new().route("/v1/chat/completions", post(chat)).with_state(backend);
    let routes = http::shell(routes, &settings.http);
    let listener = http::bind(settings.http.bind).await?;
    process.part(|drain| http::serve(listener, routes, drain));
    Ok(process.run().await?)
}

async fn chat(State(backend): State<Arc<dyn ModelBackend>>, body: Bytes) -> Result<Response, ApiError> {
    let request = ModelRequest::parse(Dialect::Chat, body)?;
    let context = RequestContext {
        request_id: RequestId::generate(),
        tenant: TenantId::from_string("nobody"),
        key: None,
        class: Class::Interactive,
        trace: None,
        deadline: None,
        wishes: Wishes::default(),
    };
    let answer = backend.call(&context, request).await?;
    let mut response = Response::new(match answer.body.into_whole() {
        Ok((bytes, _)) => Body::from(bytes),
        Err(body) => Body::from_stream(body.filter_map(async |frame| match frame {
            Frame::Data(bytes) => Some(Ok(bytes)),
            Frame::End(outcome) => outcome.error.map(|error| Err(io::Error::other(error))),
        })),
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
