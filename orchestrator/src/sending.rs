//! The moment at which a request goes out to a model server. Until then it has cost nothing: it may wait for room for a long time.

use std::{fmt, sync::Arc};

/// Told each time that a request is about to be sent. Clones tell the same one.
#[derive(Clone)]
pub struct Sending(Arc<dyn Fn() + Send + Sync>);

impl Sending {
    /// Calls `told` each time; it must not wait.
    #[must_use]
    pub fn new(told: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// Says that the request goes out.
    pub fn tell(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}
