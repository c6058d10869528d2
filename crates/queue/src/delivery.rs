//! One heard pointer, to be settled exactly once: the type makes a second ack impossible and a forgotten one a nack.

use domain::{Pointer, Result};
use futures::future::BoxFuture;
use std::fmt;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taken care of; do not offer it again.
    Ack,
    /// Not taken care of; offer it to anybody, now.
    Nack,
}

type Settle = Box<dyn FnOnce(Verdict) -> BoxFuture<'static, Result<()>> + Send>;

/// A pointer that somebody rang. Acknowledge it once the work is claimed, not once it is done.
pub struct Delivery {
    /// What was rung.
    pub pointer: Pointer,
    settle: Option<Settle>,
}

impl Delivery {
    /// A delivery that tells `settle` what became of it.
    pub fn new<F>(pointer: Pointer, settle: F) -> Self
    where
        F: FnOnce(Verdict) -> BoxFuture<'static, Result<()>> + Send + 'static,
    {
        Self { pointer, settle: Some(Box::new(settle)) }
    }

    /// Never offer this again.
    ///
    /// # Errors
    /// When the doorbell could not be told; it will then be offered again, which is harmless.
    pub async fn ack(self) -> Result<()> {
        self.settle(Verdict::Ack).await
    }

    /// Offer this again at once.
    ///
    /// # Errors
    /// When the doorbell could not be told; it will then be offered again after the hold time.
    pub async fn nack(self) -> Result<()> {
        self.settle(Verdict::Nack).await
    }

    async fn settle(mut self, verdict: Verdict) -> Result<()> {
        match self.settle.take() {
            Some(settle) => settle(verdict).await,
            None => Ok(()),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(settle) = self.settle.take() else { return };
        // Outside a runtime nobody can be told; the hold time of the doorbell then does the same, later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(settle(Verdict::Nack));
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("pointer", &self.pointer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PointerKind;
    use tokio::sync::mpsc;

    fn delivery() -> (Delivery, mpsc::UnboundedReceiver<Verdict>) {
        let (tell, told) = mpsc::unbounded_channel();
        let settle = move |verdict| -> BoxFuture<'static, Result<()>> {
            Box::pin(async move {
                tell.send(verdict).unwrap();
                Ok(())
            })
        };
        (Delivery::new(Pointer::new(PointerKind::Shard, "shard_1"), settle), told)
    }

    #[tokio::test]
    async fn a_dropped_delivery_is_a_nack() {
        let (delivery, mut told) = delivery();

        drop(delivery);

        assert_eq!(told.recv().await, Some(Verdict::Nack));
    }

    #[tokio::test]
    async fn an_acked_delivery_is_settled_once() {
        let (delivery, mut told) = delivery();

        delivery.ack().await.unwrap();

        assert_eq!(told.recv().await, Some(Verdict::Ack));
        assert_eq!(told.recv().await, None);
    }
}
