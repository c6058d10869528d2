//! The router as a process of its own: `orchestrator [settings.toml]`, with `TANDEM__...` over it.

use chassis::{http, process::Process};
use orchestrator::{Router, UpstreamClient, settings::Settings};
use std::{path::PathBuf, sync::Arc};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let settings: Settings = chassis::settings::load(file.as_deref(), std::env::vars())?;
    let mut process = Process::start(&settings.telemetry, &settings.admin, &settings.drain).await?;
    let router = Router::new(orchestrator::read_catalog(&settings.models)?, UpstreamClient::new());
    let listener = http::bind(settings.http.bind).await?;
    let routes = http::shell(orchestrator::http::routes(Arc::new(router)), &settings.http);
    process.part(|drain| http::serve(listener, routes, drain));
    Ok(process.run().await?)
}
