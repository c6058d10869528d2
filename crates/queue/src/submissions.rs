//! Jobs that are submitted as messages. What a job is, and whether it is any good, is for whoever reads them.

use crate::{DoorbellSettings, SubmissionsPubSubSettings, pubsub::PubSubSubmissions, rabbitmq::RabbitMqSubmissions};
use async_trait::async_trait;
use domain::Result;
use futures::{future::BoxFuture, stream::BoxStream};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use store::ImportsSettings;

/// A queue of jobs. At least once, in no order.
#[async_trait]
pub trait Submissions: Send + Sync {
    /// Hears jobs, never more than `slots` that are not settled. A broker that is lost is waited for.
    ///
    /// # Errors
    /// When there is no use in waiting.
    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Submitted>>;
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is taken care of.
    Accepted,
    /// It can't be used; why. It goes to the dead letters.
    Refused(String),
    /// It comes again.
    Again,
}

type Settle = Box<dyn FnOnce(Fate) -> BoxFuture<'static, Result<()>> + Send>;

/// A job, to be settled once; one that is forgotten comes again.
pub struct Submitted {
    /// What was sent.
    pub message: Vec<u8>,
    settle: Option<Settle>,
}

impl Submitted {
    pub(crate) fn new<F>(message: Vec<u8>, settle: F) -> Self
    where
        F: FnOnce(Fate) -> BoxFuture<'static, Result<()>> + Send + 'static,
    {
        Self { message, settle: Some(Box::new(settle)) }
    }

    /// It is taken care of.
    ///
    /// # Errors
    /// When the broker could not be told; it comes again then.
    pub async fn accept(self) -> Result<()> {
        self.settle(Fate::Accepted).await
    }

    /// It can't be used, for this reason.
    ///
    /// # Errors
    /// When the broker could not be told; it comes again then.
    pub async fn refuse(self, reason: &str) -> Result<()> {
        self.settle(Fate::Refused(reason.to_owned())).await
    }

    async fn settle(mut self, fate: Fate) -> Result<()> {
        match self.settle.take() {
            Some(settle) => settle(fate).await,
            None => Ok(()),
        }
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        let Some(settle) = self.settle.take() else { return };
        // Outside a runtime nobody can be told; the broker gives it to somebody else when the connection ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(settle(Fate::Again));
        }
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("bytes", &self.message.len()).finish_non_exhaustive()
    }
}

/// The `[submissions]` section of workers: where jobs come from besides the API. Whoever may write there may act for every tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubmissionsSettings {
    /// Which broker; it is reached as the doorbell of that kind is.
    pub kind: SubmissionsKind,
    /// The queue of RabbitMQ; what can't be used goes to `<queue>.dead`. At most 200 bytes.
    pub queue: String,
    /// For the kind of this name.
    pub pubsub: SubmissionsPubSubSettings,
    /// Jobs that a worker reads at once; at least 1.
    pub slots: usize,
    /// How long an input that came with its job is kept, in seconds.
    pub file_ttl_secs: i64,
    /// Buckets with objects that may be the input of a job.
    pub imports: ImportsSettings,
    /// The largest of those, in bytes.
    pub max_input_bytes: u64,
    /// The most lines of one.
    pub max_input_lines: u64,
}

/// The brokers that jobs may come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionsKind {
    /// Jobs come over HTTP only.
    #[default]
    None,
    /// A queue of RabbitMQ.
    RabbitMq,
    /// A subscription of Pub/Sub.
    PubSub,
}

impl Default for SubmissionsSettings {
    fn default() -> Self {
        Self {
            kind: SubmissionsKind::None,
            queue: "tandem.submissions".to_owned(),
            pubsub: SubmissionsPubSubSettings::default(),
            slots: 4,
            file_ttl_secs: 30 * 86_400,
            imports: ImportsSettings::default(),
            max_input_bytes: 8 << 30,
            max_input_lines: 1_000_000,
        }
    }
}

impl SubmissionsSettings {
    /// The queue or subscription that the settings name, on the broker that `doorbell` knows. It connects in the background. Needs a runtime.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub fn open(&self, doorbell: &DoorbellSettings) -> Result<Option<Arc<dyn Submissions>>> {
        match self.kind {
            SubmissionsKind::None => Ok(None),
            SubmissionsKind::RabbitMq => Ok(Some(Arc::new(RabbitMqSubmissions::new(&doorbell.rabbitmq, &self.queue)?))),
            SubmissionsKind::PubSub => Ok(Some(Arc::new(PubSubSubmissions::new(&doorbell.pubsub, &self.pubsub)?))),
        }
    }
}
