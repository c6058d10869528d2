//! `tandem doctor`: one line per dependency, each with what to do when it is bad.

use crate::settings::Settings;
use orchestrator::{
    catalog::{Deployment, Provider},
    discover,
};
use std::process::ExitCode;

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let checks = [
        ("settings", Ok("read, every key known".to_owned())),
        ("database", database(settings).await),
        ("blobs", blobs(settings).await),
        ("models", models(settings).await),
    ];
    let mut healthy = true;
    for (name, outcome) in checks {
        match outcome {
            Ok(text) => println!("ok    {name:<9} {text}"),
            Err(error) => {
                healthy = false;
                println!("FAIL  {name:<9} {error:#}");
            }
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn database(settings: &Settings) -> anyhow::Result<String> {
    let store = settings.data.open().await?;
    store.ping().await?;
    let pending = store.migration_status().await?.iter().filter(|migration| migration.applied_at.is_none()).count();
    Ok(match pending {
        0 => "answers, schema up to date".to_owned(),
        pending => format!("answers; {pending} migrations pending: run `tandem migrate up`"),
    })
}

async fn blobs(settings: &Settings) -> anyhow::Result<String> {
    settings.data.open_blobs()?.ping().await?;
    Ok(format!("{} can be written and read", settings.data.blobs()))
}

async fn models(settings: &Settings) -> anyhow::Result<String> {
    if !settings.models.file.exists() {
        return Ok(format!(
            "no {}: `up` serves the built-in simulator, or --upstream URL",
            settings.models.file.display()
        ));
    }
    let mut problems = Vec::new();
    for model in orchestrator::read_catalog(&settings.models)?.models {
        for deployment in model.deployments {
            problems.extend(problem(&deployment).await);
        }
    }
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok("every deployment answers and lists its model".to_owned())
}

/// What keeps a deployment from serving, if anything. Only OpenAI's API lists models; the others are asked by requests.
async fn problem(deployment: &Deployment) -> Option<String> {
    if deployment.provider != Provider::OpenAi {
        return None;
    }
    let name = &deployment.name;
    for url in &deployment.urls {
        match discover(url.as_str(), deployment.api_key.clone()).await {
            Err(error) => return Some(format!("{name}: {error}")),
            Ok(there) if there.models.iter().any(|model| model.name == deployment.upstream_model) => {}
            Ok(_) => {
                let model = &deployment.upstream_model;
                return Some(format!("{name}: the server at {url} does not list {model:?}; mend upstream_model"));
            }
        }
    }
    None
}
