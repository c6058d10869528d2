//! Connections to one server that nobody uses at the moment.

use super::connection::Connection;
use http::HeaderValue;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Shorter than the 5 s after which the common model servers close an idle connection.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(4);

/// What there is for one server.
pub(super) struct Pool {
    /// How requests name it.
    pub(super) host: HeaderValue,
    /// The last one is the youngest.
    idle: Mutex<Vec<Idle>>,
}

/// A connection, and since when it is idle.
pub(super) type Idle = (Instant, Box<Connection>);

impl Pool {
    pub(super) fn new(host: HeaderValue) -> Self {
        Self { host, idle: Mutex::default() }
    }

    /// One that takes another request.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.idle.lock().pop()?;
            if since.elapsed() < LONGEST_IDLE && connection.is_free() {
                return Some(connection);
            }
        }
    }

    /// Keeps one for later, if its last request is over.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        if connection.rest() {
            self.idle.lock().push((Instant::now(), connection));
        }
    }

    /// Hands out what has been idle for too long.
    pub(super) fn old(&self) -> Vec<Idle> {
        let mut idle = self.idle.lock();
        let count = idle.partition_point(|(since, _)| since.elapsed() >= LONGEST_IDLE);
        idle.drain(..count).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.idle.lock().is_empty()
    }
}
