//! Connections to one server that nobody uses at the moment.

use super::connection::Connection;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Shorter than the 5 s after which the common model servers close an idle connection.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(4);

/// Idle connections, and since when they are; the last one is the youngest.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<(Instant, Box<Connection>)>>);

impl Pool {
    /// One that takes another request.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.0.lock().pop()?;
            if since.elapsed() < LONGEST_IDLE && connection.is_free() {
                return Some(connection);
            }
        }
    }

    /// Keeps one for later, if it takes another request.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        if connection.is_free() {
            self.0.lock().push((Instant::now(), connection));
        }
    }

    /// Closes what has been idle for too long; whether there is more.
    pub(super) fn sweep(&self) -> bool {
        let mut idle = self.0.lock();
        let old = idle.partition_point(|(since, _)| since.elapsed() >= LONGEST_IDLE);
        let old: Vec<_> = idle.drain(..old).collect();
        let is_used = !idle.is_empty();
        drop(idle);
        drop(old);
        is_used
    }
}
