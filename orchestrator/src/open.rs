//! The one place that decides between routing here and asking an orchestrator: callers can't tell the difference.

use crate::{
    Caller, ModelBackend, Router, UpstreamClient, catalog_file, reload,
    remote::RemoteBackend,
    settings::{ModelsSettings, OrchestratorSettings},
    watch,
};
use chassis::process::Process;
use domain::Result;
use std::sync::Arc;

/// The backend that the settings name: the orchestrator at a URL, or a router in this process, which follows the catalog file
/// for as long as `process` runs.
///
/// # Errors
/// When the catalog can't be read or used, or this process has no credentials for the orchestrator.
pub fn open(
    orchestrator: &OrchestratorSettings,
    models: &ModelsSettings,
    process: &mut Process,
) -> Result<Arc<dyn ModelBackend>> {
    let client = UpstreamClient::new();
    if let Some(url) = &orchestrator.url {
        let caller = Caller::open(orchestrator)?;
        return Ok(Arc::new(RemoteBackend::new(url, client, caller)));
    }
    let text = catalog_file::read(models)?;
    let router = Router::new(catalog_file::parse(models, &text)?, client, models);
    process.part(|drain| reload::follow(models.clone(), text, router.clone(), drain));
    process.part(|drain| watch::follow(router.clone(), drain));
    Ok(Arc::new(router))
}
