//! Which lines of a shard a model server has been asked and that have no durable record: what is asked again when this worker
//! dies. The database is told with every checkpoint, and soon where there is none.

use domain::Bitmap;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Asked {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    lines: Bitmap,
    untold_since: Option<Instant>,
}

impl Asked {
    /// None of `lines` lines yet.
    pub(crate) fn new(lines: usize) -> Arc<Self> {
        let state = Mutex::new(State { lines: Bitmap::new(lines), untold_since: None });
        Arc::new(Self { state, news: Notify::new() })
    }

    /// A request for the line goes out.
    pub(crate) fn add(&self, number: usize) {
        let mut state = self.state.lock();
        if !state.lines.contains(number) {
            state.lines.set(number);
            state.untold_since.get_or_insert_with(Instant::now);
            self.news.notify_one();
        }
    }

    /// What is to be told, now that the lines of `done` get their records.
    pub(crate) fn tell(&self, done: &Bitmap) -> Bitmap {
        let mut state = self.state.lock();
        state.lines.subtract(done);
        state.untold_since = None;
        state.lines.clone()
    }

    /// The database was not told after all.
    pub(crate) fn untell(&self) {
        self.state.lock().untold_since.get_or_insert_with(Instant::now);
    }

    /// Waits until a line has been untold for so long.
    pub(crate) async fn due(&self, patience: Duration) {
        loop {
            let since = self.state.lock().untold_since;
            match since {
                Some(since) => return sleep_until(since + patience).await,
                None => self.news.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn lines(marked: &[usize]) -> Bitmap {
        let mut lines = Bitmap::new(8);
        marked.iter().for_each(|line| lines.set(*line));
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_is_due_soon_and_told_once() {
        let asked = Asked::new(8);
        assert!(asked.due(PATIENCE).now_or_never().is_none());

        asked.add(3);
        let begun = Instant::now();
        asked.due(PATIENCE).await;

        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(asked.tell(&lines(&[])), lines(&[3]));
        asked.add(3);
        assert!(tokio::time::timeout(PATIENCE * 2, asked.due(PATIENCE)).await.is_err(), "asked once more, and known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_with_a_record_is_forgotten() {
        let asked = Asked::new(8);
        [1, 2, 3].into_iter().for_each(|line| asked.add(line));

        assert_eq!(asked.tell(&lines(&[2])), lines(&[1, 3]));
        assert_eq!(asked.tell(&lines(&[1])), lines(&[3]));
    }
}
