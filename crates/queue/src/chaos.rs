//! A doorbell that breaks every promise a doorbell does not make: it loses, doubles, delays and reorders pointers and
//! forgets acks, from a seed, so that a failure can be played again.

use crate::{Delivery, Doorbell, Verdict};
use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{sync::Arc, time::Duration};

/// How often what goes wrong; each is a probability from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A ring is lost.
    pub lose: f64,
    /// A ring is heard twice.
    pub duplicate: f64,
    /// The pointers of a ring change places.
    pub reorder: f64,
    /// An ack is forgotten: the delivery comes again.
    pub forget_ack: f64,
    /// A delivery is handed out late, by up to this much.
    pub delay: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self { lose: 0.3, duplicate: 0.3, reorder: 0.5, forget_ack: 0.2, delay: Duration::from_millis(20) }
    }
}

/// Wraps any doorbell.
pub struct Chaos {
    inner: Arc<dyn Doorbell>,
    faults: Faults,
    dice: Arc<Mutex<StdRng>>,
}

impl Chaos {
    /// `inner` with `faults`, decided by `seed`.
    #[must_use]
    pub fn new(inner: Arc<dyn Doorbell>, faults: Faults, seed: u64) -> Self {
        Self { inner, faults, dice: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    /// What is left of a ring.
    fn distort(&self, pointers: &[Pointer]) -> Vec<Pointer> {
        let mut dice = self.dice.lock();
        let mut rung = Vec::with_capacity(pointers.len());
        for pointer in pointers {
            if dice.random_bool(self.faults.lose) {
                continue;
            }
            if dice.random_bool(self.faults.duplicate) {
                rung.push(pointer.clone());
            }
            rung.push(pointer.clone());
        }
        if dice.random_bool(self.faults.reorder) {
            rung.shuffle(&mut *dice);
        }
        rung
    }
}

/// A delivery whose ack may turn into a nack.
fn forgetful(inner: Delivery, forgets: bool) -> Delivery {
    Delivery::new(inner.pointer.clone(), move |verdict| {
        async move {
            match verdict {
                Verdict::Ack if !forgets => inner.ack().await,
                Verdict::Ack | Verdict::Nack => inner.nack().await,
            }
        }
        .boxed()
    })
}

#[async_trait]
impl Doorbell for Chaos {
    async fn ring(&self, pointers: &[Pointer]) -> Result<()> {
        let rung = self.distort(pointers);
        if rung.is_empty() { Ok(()) } else { self.inner.ring(&rung).await }
    }

    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>> {
        let (dice, faults) = (Arc::clone(&self.dice), self.faults);
        let heard = self.inner.listen(slots).await?;
        let late = heard.then(move |delivery| {
            let (share, forgets) = {
                let mut dice = dice.lock();
                (dice.random_range(0.0..1.0), dice.random_bool(faults.forget_ack))
            };
            async move {
                tokio::time::sleep(faults.delay.mul_f64(share)).await;
                forgetful(delivery, forgets)
            }
        });
        Ok(late.boxed())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        self.inner.depth().await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}
