//! The router as a process of its own: `orchestrator [settings.toml]`, with `TANDEM__…` over it.

use anyhow::Context;
use chassis::{
    drain::{self, Drain, Readiness},
    http,
};
use orchestrator::{Router, UpstreamClient, catalog::Catalog, settings::Settings};
use std::{path::PathBuf, sync::Arc, time::Duration};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let settings: Settings = chassis::settings::load(file.as_deref(), std::env::vars())?;
    let telemetry = chassis::telemetry::init(&settings.telemetry)?;
    let path = settings.models.display();
    let text = std::fs::read_to_string(&settings.models).with_context(|| format!("can't read the catalog {path}"))?;
    let catalog = Catalog::parse(&text).with_context(|| format!("{path} can't be used"))?;
    let backend = Arc::new(Router::new(catalog, UpstreamClient::new()));

    let drain = Drain::new(Duration::from_secs(settings.grace_secs));
    let admin = http::bind(settings.admin.bind).await?;
    let listener = http::bind(settings.http.bind).await?;
    let routes = http::shell(orchestrator::http::routes(backend), &settings.http);
    let probes = http::admin_routes(Readiness::new(&drain), telemetry.clone());
    let ended = tokio::try_join!(
        http::serve(admin, probes, drain.clone()),
        http::serve(listener, routes, drain.clone()),
        async {
            drain::signal().await;
            drain.begin();
            Ok(())
        },
    );
    telemetry.flush().await;
    ended.map(|_| ()).map_err(anyhow::Error::from)
}
