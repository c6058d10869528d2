//! The way from an outbox to whoever is to be told: round after round, at the pace that the outbox and the other side allow.

mod instruments;
mod pace;

pub(crate) use instruments::Instruments;
pub(crate) use pace::MOST;

use domain::Result;
use pace::Pace;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// After the last row was written, time to publish what is left. Cloud Run kills ten seconds after SIGTERM.
const LAST_ROUNDS: Duration = Duration::from_secs(2);

/// How often an outbox is measured.
const MEASURED_EVERY: Duration = Duration::from_secs(10);

/// What leaves an outbox.
pub(crate) trait Outgoing: Send + Sync {
    /// For the log, as `usage events`.
    const WHAT: &'static str;

    /// Publishes some and says how many there were. Those of a round that fails stay held for a while, so that others have their
    /// turn.
    fn round(&self) -> impl Future<Output = Result<usize>> + Send;

    /// Looks how much waits, for the metrics.
    fn measure(&self) -> impl Future<Output = Result<()>> + Send;

    /// A round failed.
    fn failed(&self);
}

/// Publishes until `ended`, which is when nobody writes rows any more, and then what is left. What stays in the outbox is published by
/// whoever looks next. `idle` is the pause between two looks at an empty outbox.
pub(crate) async fn run(outgoing: &impl Outgoing, idle: Duration, ended: CancellationToken) {
    let late = async {
        ended.cancelled().await;
        sleep(LAST_ROUNDS).await;
    };
    tokio::select! {
        () = publish(outgoing, idle, &ended) => {}
        () = measure(outgoing) => {}
        () = late => warn_of_rest(outgoing),
    }
}

fn warn_of_rest<O: Outgoing>(_: &O) {
    tracing::warn!("{} stay in the outbox; the next process publishes them", O::WHAT);
}

/// Round after round, until one after the end finds nothing.
async fn publish<O: Outgoing>(outgoing: &O, idle: Duration, ended: &CancellationToken) {
    let mut pace = Pace::new(idle);
    loop {
        let is_last = ended.is_cancelled();
        let pause = match outgoing.round().await {
            Ok(0) if is_last => return,
            Ok(published) => pace.went_well(published),
            Err(error) => {
                outgoing.failed();
                tracing::warn!(error = %error.chain(), "{} are not published; they are tried again", O::WHAT);
                pace.failed()
            }
        };
        // After the end, what fails at once would be tried as fast as it fails.
        if is_last {
            sleep(pause.min(LAST_ROUNDS / 4)).await;
        } else {
            ended.run_until_cancelled(sleep(pause)).await.unwrap_or(());
        }
    }
}

async fn measure<O: Outgoing>(outgoing: &O) {
    loop {
        if let Err(error) = outgoing.measure().await {
            tracing::warn!(error = %error.chain(), "the outbox of {} can't be measured", O::WHAT);
        }
        sleep(MEASURED_EVERY).await;
    }
}
