//! The one place that decides between routing here and asking an orchestrator: callers can't tell the difference.

use crate::{
    ModelBackend, Router, UpstreamClient,
    catalog::Catalog,
    reload,
    remote::RemoteBackend,
    settings::{ModelsSettings, OrchestratorSettings},
    watch,
};
use chassis::process::Process;
use domain::{Error, Result};
use std::sync::Arc;

/// The backend that the settings name: the orchestrator at a URL, or a router in this process, which follows the catalog file
/// for as long as `process` runs.
///
/// # Errors
/// When the catalog can't be read or used.
pub fn open(
    orchestrator: &OrchestratorSettings,
    models: &ModelsSettings,
    process: &mut Process,
) -> Result<Arc<dyn ModelBackend>> {
    let client = UpstreamClient::new();
    if let Some(url) = &orchestrator.url {
        return Ok(Arc::new(RemoteBackend::new(url, client)));
    }
    let text = read(models)?;
    let router = Router::new(parse(models, &text)?, client, models);
    process.part(|drain| reload::follow(models.clone(), text, router.clone(), drain));
    process.part(|drain| watch::follow(router.clone(), drain));
    Ok(Arc::new(router))
}

/// Reads the catalog file.
///
/// # Errors
/// When it can't be read, or with everything that is wrong in it.
pub fn read_catalog(models: &ModelsSettings) -> Result<Catalog> {
    parse(models, &read(models)?)
}

fn read(models: &ModelsSettings) -> Result<String> {
    std::fs::read_to_string(&models.file).map_err(|error| unreadable(models, error))
}

pub(crate) fn unreadable(models: &ModelsSettings, error: std::io::Error) -> Error {
    let path = models.file.display();
    Error::invalid(format!("can't read the catalog {path} (models.file): {error}")).with_source(error)
}

pub(crate) fn parse(models: &ModelsSettings, text: &str) -> Result<Catalog> {
    let path = models.file.display();
    Catalog::parse(text).map_err(|error| Error::invalid(format!("{path} can't be used: {error}")).with_source(error))
}
