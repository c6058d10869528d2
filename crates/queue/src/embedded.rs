//! The doorbell that needs no broker: a narrow table in the database that workers have anyway. A hint inside the process
//! makes it prompt, polling makes it reliable.

use crate::{Delivery, Doorbell, Verdict};
use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use std::{sync::Arc, time::Duration};
use store::{Bell, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// A delivery not settled within this time is offered again.
const HOLD: Duration = Duration::from_secs(10);

/// How often a listener looks when nobody hints.
const LOOK: Duration = Duration::from_millis(500);

/// A doorbell over [`Store`].
#[derive(Clone)]
pub struct Embedded {
    store: Store,
    hold: Duration,
}

impl Embedded {
    /// A doorbell in the tables of `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, hold: HOLD }
    }

    /// Offers an unsettled delivery again after `hold` instead of the default 10 s.
    #[must_use]
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    async fn take_one(&self) -> Result<Option<Bell>> {
        let hold_ms = i64::try_from(self.hold.as_millis()).unwrap_or(i64::MAX);
        Ok(self.store.take_bells(1, hold_ms).await?.pop())
    }

    /// Waits for a bell. Errors are waited out: the database is also where the listener's work is.
    async fn next_bell(&self) -> Bell {
        let hint = self.store.bell_hint();
        loop {
            // Registered before the look, so that a ring between look and wait is not missed.
            let hinted = hint.notified();
            tokio::pin!(hinted);
            hinted.as_mut().enable();
            match self.take_one().await {
                Ok(Some(bell)) => return bell,
                Ok(None) => {}
                Err(error) => warn!(error = %error.chain(), "cannot look for bells"),
            }
            let pause = LOOK.mul_f64(rand::random_range(0.5..1.5));
            let _ = tokio::time::timeout(pause, hinted).await;
        }
    }

    fn delivery(&self, bell: Bell, slot: OwnedSemaphorePermit) -> Delivery {
        let store = self.store.clone();
        Delivery::new(bell.pointer, move |verdict| {
            async move {
                let _slot = slot;
                match verdict {
                    Verdict::Ack => store.ack_bell(bell.id).await,
                    Verdict::Nack => store.nack_bell(bell.id).await,
                }
            }
            .boxed()
        })
    }
}

#[async_trait]
impl Doorbell for Embedded {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        self.store.ring(pointers).await
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let bell = self.clone();
        let slots = Arc::new(Semaphore::new(slots.max(1)));
        let stream = async_stream::stream! {
            while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                let heard = bell.next_bell().await;
                yield bell.delivery(heard, slot);
            }
        };
        Ok(stream.boxed())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        let depth = self.store.bell_depth().await?;
        Ok(u64::try_from(depth).ok())
    }

    async fn health(&self) -> Result<()> {
        self.store.ping().await
    }
}
