//! The doorbell: tells workers that a row in the database is worth a look. It carries pointers and never truth, so a
//! pointer may be lost, doubled or reordered; the database decides. Nothing of it may know what a pointer leads to.
//! And what else goes by brokers, since they are known here and nowhere else: jobs in, events out.

mod batch_events;
pub mod chaos;
pub mod conformance;
mod dead_letters;
mod delivery;
mod embedded;
mod google;
mod instruments;
mod measured;
mod message;
mod open;
mod outage;
mod pubsub;
mod rabbitmq;
mod relay;
mod submissions;
mod usage_events;

pub use batch_events::{BatchEvents, Replies};
pub use dead_letters::{DeadLetter, DeadLetters, DeadLettersOf, Judge, Sentence};
pub use delivery::{Delivery, Verdict};
pub use embedded::Embedded;
pub use open::{DoorbellKind, DoorbellSettings, open};
pub use pubsub::{PubSub, PubSubSettings, SubmissionsPubSubSettings};
pub use rabbitmq::{RabbitMq, RabbitMqSettings};
pub use submissions::{Submissions, SubmissionsKind, SubmissionsSettings, Submitted};
pub use usage_events::{EventsSettings, Topic, UsageEvents};

use async_trait::async_trait;
use domain::{Pointer, Result};
use futures::stream::BoxStream;

/// A way to wake workers. At least once, unordered; loss is harmless because workers also poll and the sweep re-rings.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Hands over pointers. Returns once they are as durable as this doorbell makes them.
    ///
    /// # Errors
    /// When the doorbell is out of order; the rows still say what there is to do.
    async fn ring(&self, pointers: &[Pointer]) -> Result<()>;

    /// Hears pointers. Never holds more than `slots` unsettled deliveries, and fetches only when polled: a delivery that
    /// waits in a buffer would be offered to somebody else meanwhile. The stream ends when the doorbell breaks down;
    /// listen again.
    ///
    /// # Errors
    /// When the doorbell is out of order.
    async fn listen(&self, slots: usize) -> Result<BoxStream<'static, Delivery>>;

    /// How many pointers wait, if the doorbell knows. For metrics and scaling only.
    ///
    /// # Errors
    /// When the doorbell is out of order.
    async fn depth(&self) -> Result<Option<u64>>;

    /// Whether a ring would be heard.
    ///
    /// # Errors
    /// When it would not.
    async fn health(&self) -> Result<()>;
}
