//! Sends what is due, over and over. Any number of processes may: the database says who has which deliveries. An attempt whose process
//! dies before its record is made again by the next, with the same id.

use crate::{
    WebhooksSettings,
    attempt::{Message, Sender},
    instruments::Instruments,
    schedule::Schedule,
    seal::Sealer,
    sign,
};
use backon::{ConstantBuilder, Retryable};
use chassis::drain::Drain;
use chrono::Utc;
use domain::{Result, WebhookId};
use reqwest::dns::Resolve;
use std::{sync::Arc, time::Duration};
use store::{AttemptSaid, ClaimedDelivery, Store, Verdict};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

const MEASURED_EVERY: Duration = Duration::from_secs(10);
const PURGED_EVERY: Duration = Duration::from_secs(600);
/// Deliveries removed by one statement.
const PURGED_AT_ONCE: i64 = 500;
/// How often more a record is tried: an attempt that is not recorded is made again.
const RECORD_RETRIES: usize = 2;
const RECORD_PAUSE: Duration = Duration::from_millis(500);

/// Delivers webhooks.
pub struct Webhooks {
    core: Arc<Core>,
}

struct Core {
    settings: WebhooksSettings,
    schedule: Schedule,
    store: Store,
    sealer: Sealer,
    sender: Sender,
    instruments: Instruments,
}

impl Webhooks {
    /// A sender of what is due in `store`.
    ///
    /// # Errors
    /// `InvalidRequest` when the settings have a bad key.
    pub fn new(settings: WebhooksSettings, store: Store) -> Result<Self> {
        let sender = Sender::new(&settings)?;
        Self::with(settings, store, sender)
    }

    /// One that looks up names with `names`, and judges what it says.
    ///
    /// # Errors
    /// As [`Webhooks::new`].
    pub fn with_names(settings: WebhooksSettings, store: Store, names: Arc<dyn Resolve>) -> Result<Self> {
        let sender = Sender::with(&settings, names)?;
        Self::with(settings, store, sender)
    }

    fn with(settings: WebhooksSettings, store: Store, sender: Sender) -> Result<Self> {
        let sealer = Sealer::new(&settings.secret_key, &settings.old_secret_keys)?;
        let (retries_secs, disable_after_ms) = (settings.retries_secs.clone(), settings.disable_after_ms());
        let schedule = Schedule { retries_secs, disable_after_ms };
        let core = Core { settings, schedule, store, sealer, sender, instruments: Instruments::new() };
        Ok(Self { core: Arc::new(core) })
    }

    /// Delivers until `drain` begins, then waits for the attempts under way. Those that the drain cuts are made again by others.
    ///
    /// # Errors
    /// None: what fails is logged and tried again.
    pub async fn run(self, drain: Drain) -> Result<()> {
        let begun = drain.token();
        tokio::join!(self.deliver(&drain), self.measure(&begun), self.purge(&begun));
        Ok(())
    }

    async fn deliver(&self, drain: &Drain) {
        let mut attempts = JoinSet::new();
        while !drain.has_begun() {
            for claimed in self.claim(self.core.settings.concurrency.saturating_sub(attempts.len())).await {
                attempts.spawn(attempt(Arc::clone(&self.core), claimed));
            }
            tokio::select! {
                () = drain.begun() => {}
                Some(ended) = attempts.join_next() => report(ended),
                () = sleep(self.core.settings.poll().mul_f64(rand::random_range(0.75..1.25))) => {}
            }
        }
        let rest = async {
            while let Some(ended) = attempts.join_next().await {
                report(ended);
            }
        };
        drain.expired().run_until_cancelled(rest).await;
    }

    /// What is to be sent now, at most so many.
    async fn claim(&self, room: usize) -> Vec<ClaimedDelivery> {
        let mut claimed = Vec::new();
        if let Err(error) = self.claim_into(&mut claimed, i64::try_from(room).unwrap_or(i64::MAX)).await {
            warn!(error = %error.chain(), "webhooks can't be read from the database; they are tried again");
        }
        claimed
    }

    async fn claim_into(&self, claimed: &mut Vec<ClaimedDelivery>, room: i64) -> Result<()> {
        if room == 0 {
            return Ok(());
        }
        let (store, at_once) = (&self.core.store, self.core.settings.per_webhook.max(1));
        let due: Vec<WebhookId> = store.due_webhooks(at_once, room).await?;
        for webhook in due {
            let left = room - i64::try_from(claimed.len()).unwrap_or(i64::MAX);
            if left <= 0 {
                break;
            }
            claimed.extend(store.claim_deliveries(&webhook, (at_once, left), self.core.settings.hold_ms()).await?);
        }
        Ok(())
    }

    async fn measure(&self, begun: &CancellationToken) {
        loop {
            match self.core.store.deliveries_state().await {
                Ok(state) => self.core.instruments.measured(state),
                Err(error) => warn!(error = %error.chain(), "webhooks that wait can't be counted"),
            }
            if begun.run_until_cancelled(sleep(MEASURED_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn purge(&self, begun: &CancellationToken) {
        while begun.run_until_cancelled(sleep(PURGED_EVERY.mul_f64(rand::random_range(0.75..1.25)))).await.is_some() {
            // One statement after the other until there is nothing left, or one fails.
            while !begun.is_cancelled() && self.purge_some().await {}
        }
    }

    async fn purge_some(&self) -> bool {
        match self.core.store.purge_deliveries(self.core.settings.keep_ms(), PURGED_AT_ONCE).await {
            Ok(removed) => i64::try_from(removed).is_ok_and(|removed| removed == PURGED_AT_ONCE),
            Err(error) => {
                warn!(error = %error.chain(), "old deliveries of webhooks can't be removed; they are tried again");
                false
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(panic) = ended {
        error!(error = %panic, "an attempt to deliver a webhook died; it is made again");
    }
}

async fn attempt(core: Arc<Core>, claimed: ClaimedDelivery) {
    let message = match message(&core, &claimed) {
        Ok(message) => message,
        Err(error) => {
            // Of no attempt is spoken: the receiver has done nothing wrong. It is tried again when the hold ends.
            core.instruments.unsigned();
            error!(webhook.id = %claimed.webhook, error = %error.chain(), "a webhook can't be signed");
            return;
        }
    };
    let (said, asked) = core.sender.send(message).await;
    core.instruments.attempted(said.outcome, said.took_ms);
    let spread = rand::random_range(0.8..1.2);
    let verdict = core.schedule.judge(said.outcome, claimed.attempts, asked, spread);
    record(&core, &claimed, &said, verdict).await;
}

fn message<'a>(core: &Core, claimed: &'a ClaimedDelivery) -> Result<Message<'a>> {
    let sealed = [Some(&claimed.secret), claimed.old_secret.as_ref()].into_iter().flatten();
    let secrets = sealed.map(|sealed| core.sealer.open(&claimed.webhook, sealed)).collect::<Result<Vec<_>>>()?;
    let timestamp = Utc::now().timestamp();
    let signatures = sign::signatures(&secrets, claimed.event.as_str(), timestamp, &claimed.payload)?;
    let body = claimed.payload.clone();
    Ok(Message { url: &claimed.url, id: claimed.event.as_str(), timestamp, signatures, body })
}

async fn record(core: &Core, claimed: &ClaimedDelivery, said: &AttemptSaid, verdict: Verdict) {
    let (webhook, delivery, outcome) = (&claimed.webhook, &claimed.id, said.outcome.as_str());
    debug!(webhook.id = %webhook, delivery.id = %delivery, outcome, took_ms = said.took_ms, "a webhook was tried");
    let write = || core.store.record_attempt(claimed, said, verdict);
    let budget = ConstantBuilder::default().with_delay(RECORD_PAUSE).with_max_times(RECORD_RETRIES);
    match write.retry(budget).when(|error| error.kind().is_retryable()).await {
        Ok(disabled) => {
            if matches!(verdict, Verdict::GivenUp(_)) {
                core.instruments.gave_up();
                info!(webhook.id = %webhook, delivery.id = %delivery, outcome, "a delivery was given up");
            }
            if let Some(reason) = disabled {
                core.instruments.disabled(reason);
                warn!(webhook.id = %webhook, reason = reason.as_str(), "webhook {webhook} was disabled");
            }
        }
        Err(error) => {
            core.instruments.unrecorded();
            warn!(delivery.id = %delivery, error = %error.chain(), "an attempt can't be recorded; it is made again");
        }
    }
}
