//! The batch engine: hears of work, claims it, answers its lines through a model backend, checkpoints what is done and
//! assembles the files. Every write is fenced by a lease; at the end each input line has exactly one record.

mod account;
mod checkpoint;
mod compact;
mod finalize;
mod gate;
mod in_time;
mod input;
mod instruments;
mod intake;
mod leases;
mod line;
mod listen;
mod merge;
mod plan;
mod purge;
mod record;
mod retry;
mod settings;
mod shard;
mod sweep;
mod turns;
mod validate;

pub use settings::WorkerSettings;

use chassis::drain::Drain;
use domain::{Error, Result, WorkerId};
use futures::future::OptionFuture;
use gate::Gates;
use instruments::Instruments;
use intake::Intake;
use leases::Leases;
use orchestrator::ModelBackend;
use queue::{Doorbell, Replies, Submissions, SubmissionsSettings};
use std::sync::Arc;
use store::{Blobs, Store};
use tokio::{sync::Mutex, task::JoinSet};

/// One worker process.
pub struct Worker {
    core: Core,
    intake: Option<Intake>,
}

/// What every part of a worker uses.
pub(crate) struct Core {
    /// Made anew at each start.
    pub(crate) id: WorkerId,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) doorbell: Arc<dyn Doorbell>,
    pub(crate) backend: Arc<dyn ModelBackend>,
    pub(crate) settings: WorkerSettings,
    pub(crate) leases: Leases,
    pub(crate) gates: Gates,
    /// Held by the one shard whose lines are suspect of killing workers and in flight.
    pub(crate) trial: Arc<Mutex<()>>,
    pub(crate) instruments: Instruments,
}

impl Worker {
    /// A worker that has not started.
    pub fn new(
        store: Store,
        blobs: Blobs,
        doorbell: Arc<dyn Doorbell>,
        backend: Arc<dyn ModelBackend>,
        settings: WorkerSettings,
    ) -> Self {
        let leases = Leases::new(&settings);
        let gates = Gates::new(settings.concurrency);
        let id = WorkerId::generate();
        let instruments = Instruments::new();
        let trial = Arc::default();
        let core = Core { id, store, blobs, doorbell, backend, settings, leases, gates, trial, instruments };
        Self { core, intake: None }
    }

    /// The same, who also takes in the jobs of `submissions`, if there are any, from those who may be answered by `replies`.
    #[must_use]
    pub fn taking_in(
        self,
        submissions: Option<Arc<dyn Submissions>>,
        settings: SubmissionsSettings,
        replies: Replies,
    ) -> Self {
        Self { intake: submissions.map(|submissions| Intake { submissions, settings, replies }), ..self }
    }

    /// Works until `drain` begins, then hands its leases back and returns.
    ///
    /// # Errors
    /// When one of its own parts died.
    pub async fn run(self, drain: Drain) -> Result<()> {
        let core = Arc::new(self.core);
        let mut parts = JoinSet::new();
        parts.spawn(leases::beat(Arc::clone(&core)));
        parts.spawn(leases::fence(Arc::clone(&core)));
        parts.spawn(sweep::run(Arc::clone(&core)));
        parts.spawn(purge::run(Arc::clone(&core)));
        tracing::info!(worker.id = %core.id, "worker {} listens", core.id);
        let listening = async {
            let intake = self.intake.map(|intake| intake::run(Arc::clone(&core), intake, drain.clone()));
            tokio::join!(listen::run(&core, &drain), OptionFuture::from(intake));
        };
        // The other parts outlive the listener: leases must be kept alive until the last shard has let go.
        tokio::select! {
            () = listening => Ok(()),
            Some(ended) = parts.join_next() => Err(match ended {
                Ok(()) => Error::internal("a background task of the worker ended"),
                Err(panic) => Error::internal(panic),
            }),
        }
    }
}
