//! Copies of requests for a model on trial: sent beside the real one, never waited for, never billed, bounded in number.

use crate::ModelResponse;
use domain::Result;
use futures::StreamExt;
use rand::RngExt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// More copies at once are dropped.
const MOST: usize = 64;

/// The copies under way.
#[derive(Debug)]
pub(crate) struct Shadows {
    room: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Default for Shadows {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), tasks: TaskTracker::new() }
    }
}

impl Shadows {
    /// Whether this request is one of the `percent` that are copied.
    pub(crate) fn is_due(percent: f64) -> bool {
        rand::rng().random_range(0.0..100.0) < percent
    }

    /// Has `answer` made and thrown away; false when there is no room for it.
    pub(crate) fn send(&self, answer: impl Future<Output = Result<ModelResponse>> + Send + 'static) -> bool {
        let Ok(room) = self.room.clone().try_acquire_owned() else { return false };
        self.tasks.spawn(async move {
            match answer.await {
                Ok(mut response) => while response.body.next().await.is_some() {},
                Err(error) => tracing::info!(error = error.chain(), "a copy of a request was not answered"),
            }
            drop(room);
        });
        true
    }

    /// Waits for the copies under way.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_all_are_none_and_all() {
        assert!((0..1000).all(|_| !Shadows::is_due(0.0) && Shadows::is_due(100.0)));
    }

    #[tokio::test]
    async fn copies_beyond_the_room_are_dropped_and_room_comes_back() {
        let shadows = Shadows::default();
        let (release, wait) = tokio::sync::watch::channel(false);
        let answer = || {
            let mut wait = wait.clone();
            async move {
                let _ = wait.wait_for(|go| *go).await;
                Err(domain::Error::unavailable("test"))
            }
        };

        let sent = (0..=MOST).filter(|_| shadows.send(answer())).count();
        release.send(true).unwrap();
        shadows.ended().await;

        assert_eq!(sent, MOST);
        assert!(shadows.send(answer()));
    }
}
