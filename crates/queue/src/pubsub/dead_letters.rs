//! The dead letters of a topic of Pub/Sub: what a subscription to the dead-letter topic keeps. Pub/Sub has no way to look at messages
//! without taking them, so they are taken for a moment and given back.

use super::{
    PubSubSettings, Site, SubmissionsPubSubSettings,
    names::{Dead, Names},
    puller::{Pulled, Puller},
    resources::Resources,
    ringer::REASON,
};
use crate::{
    dead_letters::{DeadLetter, DeadLetters, Judge, Sentence},
    google::{Way, failed},
};
use async_trait::async_trait;
use domain::{Error, Result};
use google_cloud_pubsub::{client::Publisher, model::Message};
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Pub/Sub does not say that there are no more: nothing for so long is taken for it.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two looks into the silence.
const PAUSE: Duration = Duration::from_millis(200);

/// How long nobody else gets a letter, renewed with each page. One that a look died with comes back then.
const HOLD: Duration = Duration::from_secs(60);

/// Letters that are judged together.
const PAGE: usize = 100;

/// What Pub/Sub itself moved has this attribute: how often it was delivered before.
const DELIVERIES: &str = "CloudPubSubDeadLetterSourceDeliveryCount";

/// A subscription to a dead-letter topic, and the topic that dead letters go back to.
pub(crate) struct PubSubDeadLetters {
    site: Site,
    topic: String,
    subscription: String,
    deadline: Duration,
}

/// What stays, by the id of its message.
type Kept = HashMap<String, (i64, DeadLetter, String)>;

impl PubSubDeadLetters {
    /// Those of the doorbell.
    ///
    /// # Errors
    /// For settings that can't be used, and where no topic is set for them.
    pub(crate) fn of_doorbell(settings: &PubSubSettings) -> Result<Self> {
        Self::new(settings, settings.names()?)
    }

    /// Those of jobs.
    ///
    /// # Errors
    /// For settings that can't be used.
    pub(crate) fn of_submissions(doorbell: &PubSubSettings, settings: &SubmissionsPubSubSettings) -> Result<Self> {
        Self::new(doorbell, settings.names(doorbell)?)
    }

    fn new(settings: &PubSubSettings, names: Names) -> Result<Self> {
        let site = settings.site(|| names.made())?;
        let Some(Dead { subscription, .. }) = names.dead else {
            return Err(Error::invalid("doorbell.pubsub.dead_letter_topic is not set: what is no pointer is dropped"));
        };
        Ok(Self { site, topic: names.topic, subscription, deadline: settings.publish_timeout() })
    }

    /// Takes letters, does with each what `verdict` says, and notes those that stay.
    async fn judge_all(&self, puller: &Puller, most: usize, verdict: &Judge<'_>, kept: &mut Kept) -> Result<()> {
        let (mut judged, mut heard_at, mut source) = (0, Instant::now(), None);
        while judged < most && heard_at.elapsed() < SILENCE {
            let mut page = puller.pull(PAGE.min(most - judged)).await?;
            // One that lapsed meanwhile comes a second time.
            page.retain(|pulled| match kept.get_mut(&pulled.id) {
                Some((_, _, ack_id)) => {
                    ack_id.clone_from(&pulled.ack_id);
                    false
                }
                None => true,
            });
            if page.is_empty() {
                sleep(PAUSE).await;
                continue;
            }
            let held: Vec<_> = page.iter().map(|pulled| pulled.ack_id.clone()).chain(ids(kept)).collect();
            puller.hold(&held, HOLD).await?;
            page.sort_by_key(|pulled| pulled.published_ms);
            judged += page.len();
            self.judge(puller, page, verdict, (kept, &mut source)).await?;
            heard_at = Instant::now();
        }
        Ok(())
    }

    /// Judges a page. What was done when something fails is acknowledged.
    async fn judge(
        &self,
        puller: &Puller,
        page: Vec<Pulled>,
        verdict: &Judge<'_>,
        (kept, source): (&mut Kept, &mut Option<Publisher>),
    ) -> Result<()> {
        let mut done = Vec::new();
        let mut outcome = Ok(());
        for pulled in page {
            let letter = DeadLetter::new(pulled.data.clone(), reason(&pulled));
            // After a failure the rest stays.
            let sentence = if outcome.is_ok() { verdict(&letter) } else { Sentence::Keep };
            if sentence == Sentence::Redrive {
                outcome = self.send_again(source, pulled.data).await;
            }
            if sentence == Sentence::Keep || outcome.is_err() {
                kept.insert(pulled.id, (pulled.published_ms, letter, pulled.ack_id));
            } else {
                done.push(pulled.ack_id);
            }
        }
        puller.acknowledge(&done).await?;
        outcome
    }

    /// Publishes to the topic that it came from, by the client in `source`. Pub/Sub has it when this returns.
    async fn send_again(&self, source: &mut Option<Publisher>, data: Vec<u8>) -> Result<()> {
        let publisher = match source {
            Some(publisher) => publisher,
            None => source.insert(self.site.place.way()?.publisher(&self.topic).build().await.map_err(unsent)?),
        };
        let sending = publisher.publish(Message::new().set_data(data));
        timeout(self.deadline, sending).await.map_err(unsent)?.map(drop).map_err(unsent)
    }

    /// Makes what is to be made.
    async fn make(&self, way: &Way) -> Result<()> {
        if !self.site.made.is_empty() {
            Resources::open(way, &self.site.made).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for PubSubDeadLetters {
    async fn sort(&self, most: usize, verdict: &Judge<'_>) -> Result<Vec<DeadLetter>> {
        let way = self.site.place.way()?;
        self.make(&way).await?;
        let puller = Puller::new(way, self.subscription.clone())?;
        let mut kept = Kept::new();
        let judged = self.judge_all(&puller, most, verdict, &mut kept).await;
        let given_back = puller.hold(&ids(&kept).collect::<Vec<_>>(), Duration::ZERO).await;
        judged.and(given_back)?;
        let mut letters: Vec<_> = kept.into_values().map(|(published_ms, letter, _)| (published_ms, letter)).collect();
        letters.sort_by_key(|(published_ms, _)| *published_ms);
        Ok(letters.into_iter().map(|(_, letter)| letter).collect())
    }
}

fn ids(kept: &Kept) -> impl Iterator<Item = String> {
    kept.values().map(|(_, _, ack_id)| ack_id.clone())
}

/// Ours, or what Pub/Sub says of those that it moved by itself.
fn reason(pulled: &Pulled) -> Option<String> {
    let ours = pulled.attributes.get(REASON).cloned();
    let deliveries = || pulled.attributes.get(DELIVERIES);
    ours.or_else(|| Some(format!("Pub/Sub: delivered {} times and never acknowledged", deliveries()?)))
}

fn unsent(cause: impl std::fmt::Display) -> Error {
    failed("the topic did not take the dead letter; it stays", cause)
}
