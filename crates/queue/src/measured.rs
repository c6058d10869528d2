//! A doorbell whose rings, deliveries and depth are counted.

use crate::{Delivery, Doorbell, instruments::Instruments};
use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::{StreamExt, stream::BoxStream};
use std::{sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// How often the depth is looked at.
const MEASURED_EVERY: Duration = Duration::from_secs(10);

/// Wraps any doorbell.
pub(crate) struct Measured {
    inner: Arc<dyn Doorbell>,
    instruments: Instruments,
    /// Ends with the doorbell.
    _gauge: AbortOnDropHandle<()>,
}

impl Measured {
    /// `inner`, measured. Needs a runtime, for the depth.
    pub(crate) fn new(inner: Arc<dyn Doorbell>, instruments: Instruments) -> Self {
        let _gauge = AbortOnDropHandle::new(tokio::spawn(measure(Arc::clone(&inner), instruments.clone())));
        Self { inner, instruments, _gauge }
    }
}

async fn measure(doorbell: Arc<dyn Doorbell>, instruments: Instruments) {
    loop {
        tokio::time::sleep(MEASURED_EVERY).await;
        match doorbell.depth().await {
            Ok(Some(depth)) => instruments.depth(depth),
            Ok(None) => return,
            // Whoever rings or listens hears of it too, and says so where it matters.
            Err(error) => tracing::debug!(error = %error.chain(), "the depth of the doorbell is not known now"),
        }
    }
}

#[async_trait]
impl Doorbell for Measured {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        let rung = self.inner.ring(pointers).await;
        self.instruments.rung(pointers.len(), rung.is_ok());
        rung
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let instruments = self.instruments.clone();
        let heard = self.inner.listen(slots).await?;
        Ok(heard.inspect(move |_| instruments.delivered()).boxed())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        self.inner.depth().await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}
