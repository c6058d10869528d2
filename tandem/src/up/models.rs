//! Where the models of this process come from: a named server, `models.toml`, or the built-in simulator.

use super::Tasks;
use crate::{cli::UpArgs, settings::Settings};
use anyhow::Context;
use chassis::drain::Drain;
use orchestrator::{ModelBackend, Router, UpstreamClient, catalog::Catalog, discover};
use simulator::Simulator;

/// The catalog to serve, and how to name it to a person.
pub(crate) struct Models {
    pub(crate) catalog: Catalog,
    pub(crate) source: String,
    pub(crate) is_simulator: bool,
    /// A model to put into the first request.
    pub(crate) example: Option<String>,
}

pub(crate) async fn choose(
    settings: &Settings,
    args: &UpArgs,
    tasks: &mut Tasks,
    drain: &Drain,
) -> anyhow::Result<Models> {
    let (catalog, source, is_simulator) = if let Some(url) = &args.upstream {
        let catalog = discover(url, upstream_key(&args.upstream_key_env)).await?;
        (catalog, format!("models of {url}"), false)
    } else if settings.models.file.exists() {
        (read(settings)?, format!("models of {}", settings.models.file.display()), false)
    } else {
        let source =
            "the built-in SIMULATOR: made-up text, no real model. Name a server with --upstream URL".to_owned();
        (simulate(settings, tasks, drain).await?, source, true)
    };
    let router = Router::new(catalog.clone(), UpstreamClient::new());
    let example = router.models().await?.into_iter().next().map(|model| model.id);
    Ok(Models { catalog, source, is_simulator, example })
}

/// Reads the catalog file.
pub(crate) fn read(settings: &Settings) -> anyhow::Result<Catalog> {
    let path = &settings.models.file;
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Catalog::parse(&text).with_context(|| format!("{} can't be used", path.display()))
}

fn upstream_key(name: &str) -> Option<secrecy::SecretString> {
    #[expect(clippy::disallowed_methods, reason = "the name of the variable is itself a setting")]
    std::env::var(name).ok().filter(|key| !key.is_empty()).map(secrecy::SecretString::from)
}

/// Starts the simulator on loopback inside this process, and describes it as any other server.
async fn simulate(settings: &Settings, tasks: &mut Tasks, drain: &Drain) -> anyhow::Result<Catalog> {
    let listener = chassis::http::bind(settings.simulator.bind).await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let simulator = Simulator::new(settings.simulator.clone());
    let shutdown = drain.expired();
    tasks.spawn(async move {
        simulator::serve(listener, simulator, shutdown).await;
        Ok(())
    });
    Ok(discover(&url, None).await?)
}
