//! The router as a process of its own: `orchestrator [settings.toml]`, with `TANDEM__...` over it.

use chassis::{http, process::Process};
use orchestrator::{
    Access,
    settings::{OrchestratorSettings, Settings},
};
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let settings: Settings = chassis::settings::load(file.as_deref(), std::env::vars())?;
    let access = Access::open(&settings.orchestrator, settings.http.bind)?;
    let mut process = Process::start(&settings.telemetry, &settings.admin, &settings.drain).await?;
    let router = orchestrator::open(&OrchestratorSettings::default(), &settings.models, &mut process)?;
    let listener = http::bind(settings.http.bind).await?;
    let routes = http::shell(orchestrator::http::routes(router, access.clone()), &settings.http);
    process.part(|drain| access.follow(drain));
    process.part(|drain| http::serve(listener, routes, drain));
    Ok(process.run().await?)
}
