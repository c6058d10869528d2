//! Finds what a crash or a lost ring left behind, and rings for it. Any number of workers may sweep.

use crate::{Core, in_time::InTime, plan, settings::jittered};
use std::sync::Arc;
use tracing::warn;

/// Leases that ended longer ago than this are taken back.
const GRACE_MS: i64 = 500;

/// Sweeps, over and over.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(jittered(core.settings.sweep_ms)).await;
        match core.store.sweep(GRACE_MS).in_time().await {
            Ok(swept) => plan::ring(&core, &swept.pointers).await,
            Err(error) => warn!(error = %error.chain(), "sweep failed"),
        }
    }
}
