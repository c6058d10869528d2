//! The loop of a worker: hear or find that there is work, claim what is next, settle the delivery, run the work. A claim that
//! finds nothing to do is the normal fate of a doubled or late pointer. Which shard is next is the store's decision: the bell of
//! a shard only says that there is one.

use crate::{
    Core, finalize, in_time::InTime, instruments::Step, leases::Hold, plan, settings::jittered, shard, validate,
};
use chassis::drain::Drain;
use domain::{BatchId, BatchStatus, Pointer, PointerKind, Result};
use futures::{FutureExt, StreamExt};
use queue::Delivery;
use rand::seq::SliceRandom;
use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use store::{BatchLease, ShardLease};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

/// Works until `drain` begins and everything begun is handed back.
pub(crate) async fn run(core: &Arc<Core>, drain: &Drain) {
    let slots = Arc::new(Semaphore::new(core.settings.shards.max(1)));
    let ended = Arc::new(Notify::new());
    let mut work = JoinSet::new();
    let mut ear = Ear::new(Arc::clone(core), Arc::clone(&ended));
    // A slot first, a pointer second: what is claimed starts at once.
    while let Some(Ok(slot)) = unless(drain, Arc::clone(&slots).acquire_owned()).await {
        while work.try_join_next().is_some() {}
        let Some(offer) = unless(drain, ear.next()).await else { break };
        // Not interrupted: a claim whose answer nobody reads would be held for a whole lease.
        let is_turn = matches!(offer, Offer::Turn);
        let job = accept(core, offer).await;
        ear.is_eager = job.is_some() || (ear.is_eager && !is_turn);
        let Some(job) = job else { continue };
        let (core, drain, ended) = (Arc::clone(core), drain.clone(), Arc::clone(&ended));
        work.spawn(async move {
            job.run(core, drain).await;
            drop(slot);
            // It may have been what kept another shard from beginning.
            ended.notify_one();
        });
    }
    drop(ear);
    while work.join_next().await.is_some() {}
}

/// What `work` gives, or `None` once the drain has begun.
async fn unless<T>(drain: &Drain, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = drain.begun() => None,
        done = work => Some(done),
    }
}

/// Claims what is offered. `None` when there was nothing to claim.
async fn accept(core: &Core, offer: Offer) -> Option<Job> {
    let pointer = offer.pointer().cloned();
    let claiming = async {
        match pointer {
            Some(pointer) => claim(core, &pointer).await,
            None => claim_next(core).await,
        }
    };
    let claimed = core.instruments.time(Step::Claim, claiming).await;
    // Claimed, then acknowledged: from here on the lease is what keeps the work safe.
    if let Offer::Heard(delivery) = offer {
        let settling = async { if claimed.is_ok() { delivery.ack().await } else { delivery.nack().await } };
        if let Err(error) = core.instruments.time(Step::Settle, settling).await {
            warn!(error = %error.chain(), "delivery not settled; it will come again");
        }
    }
    match claimed {
        Ok(job) => job,
        Err(error) => {
            warn!(error = %error.chain(), "cannot claim");
            tokio::time::sleep(jittered(500)).await;
            None
        }
    }
}

/// Claimed work.
enum Job {
    Plan(BatchLease),
    Validate(BatchLease),
    Finalize(BatchLease),
    Shard(Box<ShardLease>, Hold),
}

impl Job {
    /// Runs to the end. Failures and panics are logged here and nowhere else; leases bring the work back.
    async fn run(self, core: Arc<Core>, drain: Drain) {
        match self {
            Self::Plan(lease) => {
                let planned = AssertUnwindSafe(plan::top_up(&core, &lease.batch.id)).catch_unwind().await;
                log(lease.batch.id.as_str(), planned);
                give_back(&core, &lease).await;
            }
            Self::Validate(lease) => {
                let judged = AssertUnwindSafe(validate::run(&core, &lease)).catch_unwind().await;
                log(lease.batch.id.as_str(), judged);
            }
            Self::Finalize(lease) => {
                let run = AssertUnwindSafe(finalize::run(&core, &lease)).catch_unwind();
                tokio::select! {
                    ended = run => log(lease.batch.id.as_str(), ended),
                    () = last_call(&core, &drain) => give_back(&core, &lease).await,
                }
            }
            Self::Shard(lease, hold) => {
                let again = lease.as_ref().clone();
                let run = shard::run(Arc::clone(&core), drain, *lease, hold);
                let ended = AssertUnwindSafe(run).catch_unwind().await;
                let panicked = ended.is_err();
                log(again.shard.id.as_str(), ended);
                if panicked && let Err(error) = core.store.release_shard(&again, true, None).in_time().await {
                    warn!(error = %error.chain(), "shard {} not released", again.shard.id);
                }
            }
        }
    }
}

/// Waits until work must be let go of because the worker goes away.
async fn last_call(core: &Core, drain: &Drain) {
    drain.begun().await;
    tokio::time::sleep(Duration::from_millis(core.settings.drain_grace_ms)).await;
}

async fn give_back(core: &Core, lease: &BatchLease) {
    if let Err(error) = core.store.release_batch(lease).in_time().await {
        warn!(error = %error.chain(), "batch {} not released; its lease will lapse", lease.batch.id);
    }
}

fn log<P>(id: &str, ended: Result<Result<()>, P>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error!(error = %error.chain(), "work on {id} failed; it will be tried again"),
        Err(_) => error!("work on {id} panicked; it will be tried again"),
    }
}

/// Claims what the pointer leads to, if there is anything to do.
async fn claim(core: &Core, pointer: &Pointer) -> Result<Option<Job>> {
    match pointer.kind {
        PointerKind::Shard => claim_next(core).await,
        PointerKind::Validate | PointerKind::Finalize => claim_batch(core, &BatchId::from_string(&pointer.id)).await,
    }
}

/// Claims whatever is next. New batches are judged first: until then nobody knows that they have shards.
async fn claim_next(core: &Core) -> Result<Option<Job>> {
    if let Some(pointer) = core.store.unsettled_batch().in_time().await?
        && let Some(job) = claim_batch(core, &BatchId::from_string(&pointer.id)).await?
    {
        return Ok(Some(job));
    }
    let asked_at = std::time::Instant::now();
    let settings = &core.settings;
    let cap = settings.tenant_shards.map(i64::from);
    let lease = core.store.claim_next_shard(&core.id, settings.lease_ms, cap).in_time().await?;
    Ok(lease.map(|lease| {
        let hold = core.leases.hold(&lease, asked_at);
        Job::Shard(Box::new(lease), hold)
    }))
}

async fn claim_batch(core: &Core, batch: &BatchId) -> Result<Option<Job>> {
    let lease = core.store.claim_batch(batch, &core.id, core.settings.lease_ms).in_time().await?;
    Ok(lease.map(|lease| match lease.batch.status {
        BatchStatus::Validating if !lease.batch.is_due() => Job::Validate(lease),
        BatchStatus::InProgress if !lease.batch.is_due() => Job::Plan(lease),
        _ => Job::Finalize(lease),
    }))
}

/// Pointers from the doorbell and, because the doorbell may be silent, from the database.
struct Ear {
    core: Arc<Core>,
    heard: Option<Heard>,
    listen_at: Instant,
    found: VecDeque<Pointer>,
    look_at: Instant,
    /// Whether there may be more to do, though nobody rang.
    is_eager: bool,
    /// Told whenever a job of this worker has ended.
    ended: Arc<Notify>,
}

/// Deliveries, taken from the doorbell by a task of their own. Polled only between claims, the doorbell could sit on a
/// database connection that the claim waits for.
struct Heard {
    deliveries: mpsc::Receiver<Delivery>,
    _listener: AbortOnDropHandle<()>,
}

enum Offer {
    Heard(Delivery),
    Found(Pointer),
    /// Whatever is next.
    Turn,
}

impl Offer {
    /// What it points to, if it is that definite.
    fn pointer(&self) -> Option<&Pointer> {
        match self {
            Self::Heard(delivery) => Some(&delivery.pointer),
            Self::Found(pointer) => Some(pointer),
            Self::Turn => None,
        }
    }
}

impl Ear {
    fn new(core: Arc<Core>, ended: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self { core, heard: None, listen_at: now, found: VecDeque::new(), look_at: now, is_eager: true, ended }
    }

    async fn next(&mut self) -> Offer {
        loop {
            if self.look_at <= Instant::now() {
                self.look().await;
            }
            if let Some(pointer) = self.found.pop_front() {
                return Offer::Found(pointer);
            }
            if self.heard.is_none() && self.listen_at <= Instant::now() {
                self.listen().await;
            }
            if self.is_eager {
                let waiting = self.heard.as_mut().and_then(|heard| heard.deliveries.try_recv().ok());
                return waiting.map_or(Offer::Turn, Offer::Heard);
            }
            tokio::select! {
                delivery = heard(&mut self.heard) => match delivery {
                    Some(delivery) => return Offer::Heard(delivery),
                    None => self.heard = None,
                },
                () = self.ended.notified() => self.is_eager = true,
                () = tokio::time::sleep_until(self.look_at) => {}
            }
        }
    }

    async fn listen(&mut self) {
        self.listen_at = Instant::now() + jittered(self.core.settings.poll_ms);
        match self.core.doorbell.listen(self.core.settings.shards.max(1)).await {
            Ok(mut stream) => {
                let (sender, deliveries) = mpsc::channel(1);
                let listener = async move {
                    while let Some(delivery) = stream.next().await {
                        if sender.send(delivery).await.is_err() {
                            return;
                        }
                    }
                };
                let _listener = AbortOnDropHandle::new(tokio::spawn(listener));
                self.heard = Some(Heard { deliveries, _listener });
            }
            Err(error) => warn!(error = %error.chain(), "the doorbell is out of order; polling goes on"),
        }
    }

    async fn look(&mut self) {
        self.look_at = Instant::now() + jittered(self.core.settings.poll_ms);
        self.is_eager = true;
        let limit = i64::try_from(self.core.settings.shards * 2).unwrap_or(i64::MAX);
        match self.core.store.waiting_batches(limit).in_time().await {
            Ok(mut pointers) => {
                // Workers that look at the same moment should not fight for the same row.
                pointers.shuffle(&mut rand::rng());
                self.found = pointers.into();
            }
            Err(error) => warn!(error = %error.chain(), "cannot look for work"),
        }
    }
}

/// The next delivery; waits for ever while there is no doorbell.
async fn heard(heard: &mut Option<Heard>) -> Option<Delivery> {
    match heard {
        Some(heard) => heard.deliveries.recv().await,
        None => std::future::pending().await,
    }
}
