//! What could not be used, for an operator to look at, send again or throw away.

use crate::{
    DoorbellKind, DoorbellSettings, SubmissionsKind, SubmissionsSettings, pubsub::PubSubDeadLetters,
    rabbitmq::RabbitMqDeadLetters,
};
use async_trait::async_trait;
use domain::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Says what becomes of each.
pub type Judge<'a> = dyn Fn(&DeadLetter) -> Sentence + Sync + 'a;

/// The dead letters of one queue.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Takes up to `most` letters, the oldest first as far as the broker knows, does with each what `judge` says, and gives those that stay.
    ///
    /// # Errors
    /// When the broker can't be used; what was judged before then is done.
    async fn sort(&self, most: usize, judge: &Judge<'_>) -> Result<Vec<DeadLetter>>;
}

/// A message that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names its content: the same message twice has one id.
    pub id: String,
    /// Why it is here, where that is known.
    pub reason: Option<String>,
    /// As it came.
    pub message: Vec<u8>,
}

/// What becomes of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// It stays.
    Keep,
    /// Back to the queue that it was meant for.
    Redrive,
    /// Gone.
    Drop,
}

/// Pub/Sub takes attributes of up to 1,024 bytes, and RabbitMQ headers of not much more than its frames.
const LONGEST_REASON: usize = 1_000;

/// As much of a reason as fits beside a message. It may quote what its sender wrote.
pub(crate) fn short(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(LONGEST_REASON)]
}

/// The queues that have dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLettersOf {
    /// What was no pointer.
    Doorbell,
    /// What was no job.
    Submissions,
}

impl DeadLetter {
    pub(crate) fn new(message: Vec<u8>, reason: Option<String>) -> Self {
        let digest = Sha256::digest(&message);
        let id = digest.iter().take(6).fold(String::new(), |mut id, byte| {
            // Writing to a text never fails.
            let _ = write!(id, "{byte:02x}");
            id
        });
        Self { id, reason, message }
    }
}

impl DeadLettersOf {
    /// Its dead letters, on the broker that the settings name.
    ///
    /// # Errors
    /// For settings that can't be used, and where no broker is set.
    pub fn open(self, doorbell: &DoorbellSettings, submissions: &SubmissionsSettings) -> Result<Box<dyn DeadLetters>> {
        match self {
            Self::Doorbell => match doorbell.kind {
                DoorbellKind::RabbitMq => {
                    Ok(Box::new(RabbitMqDeadLetters::new(&doorbell.rabbitmq, &doorbell.rabbitmq.queue)?))
                }
                DoorbellKind::PubSub => Ok(Box::new(PubSubDeadLetters::of_doorbell(&doorbell.pubsub)?)),
                DoorbellKind::Embedded => {
                    Err(Error::invalid("doorbell.kind is embedded: a doorbell in the database has no dead letters"))
                }
            },
            Self::Submissions => match submissions.kind {
                SubmissionsKind::RabbitMq => {
                    Ok(Box::new(RabbitMqDeadLetters::new(&doorbell.rabbitmq, &submissions.queue)?))
                }
                SubmissionsKind::PubSub => {
                    Ok(Box::new(PubSubDeadLetters::of_submissions(&doorbell.pubsub, &submissions.pubsub)?))
                }
                SubmissionsKind::None => Err(Error::invalid("submissions.kind is none: no jobs come by a queue")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(short("no job"), "no job");
        assert_eq!(short(&"é".repeat(700)).len(), 1_000);
        assert_eq!(short(&format!("a{}", "é".repeat(700))).len(), 999);
    }

    #[test]
    fn an_id_names_the_content() {
        let letter =
            |message: &[u8], reason: Option<&str>| DeadLetter::new(message.to_vec(), reason.map(str::to_owned));

        assert_eq!(letter(b"a", None).id, "ca978112ca1b");
        assert_eq!(letter(b"a", None).id, letter(b"a", Some("no")).id);
        assert_ne!(letter(b"a", None).id, letter(b"b", None).id);
    }
}
