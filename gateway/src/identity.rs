//! Who asks, and what they may do. A caller is a key or the holder of an issuer's token; both are looked up in memory, so that
//! no request waits for a database.

mod bearer;
mod guard;
mod keys;
mod scopes;
mod settings;
mod tokens;

pub use domain::claims::{Condition, Rule, TenantOf, Test};
pub(crate) use guard::Guard;
pub(crate) use scopes::{no_such_model, require_model, require_models};
pub use settings::{IdentitySettings, IssuerSettings};

use crate::app::App;
use chassis::{drain::Drain, jwt};
use domain::{Caller, Result, Scope};
use keys::Keys;
use std::{sync::Arc, time::Duration};
use store::Store;
use tokens::Tokens;

type Digested = [u8; 32];

/// Everybody who may ask.
pub(crate) struct Identity {
    keys: Keys,
    tokens: Tokens,
    note_uses: Duration,
}

impl Identity {
    pub(crate) fn new(settings: &IdentitySettings, store: Store, miss_interval: Duration) -> Self {
        let note_uses = Duration::from_millis(settings.last_used_ms.max(1));
        Self { keys: Keys::new(store, miss_interval), tokens: Tokens::new(settings), note_uses }
    }

    /// Whose key this is, as far as memory knows. A token is verified by [`Identity::caller`].
    fn known(&self, credential: &str) -> Option<Arc<Caller>> {
        self.keys.known(credential)
    }

    /// Whose credential this is.
    ///
    /// # Errors
    /// `Unauthenticated`, `PermissionDenied` for a token that no rule is for, or `Unavailable`.
    async fn caller(&self, credential: &str) -> Result<Arc<Caller>> {
        if self.tokens.are_taken() && jwt::is_token(credential) {
            self.tokens.caller(credential, &self.keys).await
        } else {
            self.keys.caller(credential).await
        }
    }

    /// Keeps keys, tenants and issuers fresh, and notes the uses of keys, until the drain begins.
    pub(crate) async fn follow(&self, refresh: Duration, drain: &Drain) {
        futures::join!(self.refresh_keys(refresh, drain), self.follow_uses(drain), self.tokens.follow(drain));
    }

    async fn refresh_keys(&self, period: Duration, drain: &Drain) {
        while pause(period, drain).await {
            if let Err(error) = self.keys.refresh().await {
                tracing::warn!(error = %error.chain(), "the keys can't be read; the last known ones stay in force");
            }
        }
    }

    async fn follow_uses(&self, drain: &Drain) {
        while pause(self.note_uses, drain).await {
            self.note_uses().await;
        }
    }

    /// Writes down when keys were last used.
    pub(crate) async fn note_uses(&self) {
        if let Err(error) = self.keys.note_uses().await {
            tracing::warn!(error = %error.chain(), "the last uses of keys can't be written; they are tried again");
        }
    }
}

/// Whether there is more to do after the pause.
async fn pause(period: Duration, drain: &Drain) -> bool {
    drain.token().run_until_cancelled(tokio::time::sleep(period)).await.is_some()
}

/// Lets only callers with `scope` pass, as a layer of routes or of a handler: what it leads to finds an `Arc<Caller>` and a
/// `RequestContext`.
pub(crate) fn guard(scope: Scope, app: &App) -> Guard {
    Guard { app: app.clone(), scope }
}
