//! Where the models of this process come from: an orchestrator, a named server, `models.toml`, or the built-in simulator.

use crate::{cli::UpArgs, settings::Settings};
use chassis::process::Process;
use orchestrator::{ModelBackend, Router, UpstreamClient, catalog::Catalog, discover};
use simulator::Simulator;
use std::sync::Arc;

/// What answers model requests, and how to name it to a person.
pub(crate) struct Models {
    pub(crate) backend: Arc<dyn ModelBackend>,
    pub(crate) source: String,
    pub(crate) is_simulator: bool,
    /// A model to put into the first request.
    pub(crate) example: Option<String>,
}

pub(crate) async fn choose(settings: &Settings, args: &UpArgs, process: &mut Process) -> anyhow::Result<Models> {
    let (backend, source, is_simulator) = if let Some(url) = &args.upstream {
        let catalog = discover(url, upstream_key(&args.upstream_key_env)).await?;
        (route(catalog, settings, process), format!("models of {url}"), false)
    } else if let Some(url) = &settings.orchestrator.url {
        let backend = orchestrator::open(&settings.orchestrator, &settings.models, process)?;
        (backend, format!("models of the orchestrator at {url}"), false)
    } else if settings.models.file.exists() {
        let backend = orchestrator::open(&settings.orchestrator, &settings.models, process)?;
        (backend, format!("models of {}", settings.models.file.display()), false)
    } else {
        let source =
            "the built-in SIMULATOR: made-up text, no real model. Name a server with --upstream URL".to_owned();
        let catalog = simulate(settings, process).await?;
        (route(catalog, settings, process), source, true)
    };
    let example = backend.models().await?.into_iter().next().map(|model| model.id);
    Ok(Models { backend, source, is_simulator, example })
}

fn route(catalog: Catalog, settings: &Settings, process: &mut Process) -> Arc<dyn ModelBackend> {
    let router = Router::new(catalog, UpstreamClient::new(), &settings.models);
    process.part(|drain| orchestrator::watch(router.clone(), drain));
    Arc::new(router)
}

fn upstream_key(name: &str) -> Option<secrecy::SecretString> {
    #[expect(clippy::disallowed_methods, reason = "the name of the variable is itself a setting")]
    std::env::var(name).ok().filter(|key| !key.is_empty()).map(secrecy::SecretString::from)
}

/// Starts the simulator on loopback inside this process, and describes it as any other server.
async fn simulate(settings: &Settings, process: &mut Process) -> anyhow::Result<Catalog> {
    let listener = chassis::http::bind(settings.simulator.bind).await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let simulator = Simulator::new(settings.simulator.clone());
    process.support(async move |drain| {
        simulator::serve(listener, simulator, drain.token()).await;
        Ok(())
    });
    Ok(discover(&url, None).await?)
}
