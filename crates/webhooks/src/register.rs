//! What whoever makes webhooks needs: whether an address may be one, and a new secret in both its forms.

use crate::{WebhooksSettings, guard::Guard, seal::Sealer, sign};
use domain::{Result, WebhookId};
use secrecy::SecretString;
use store::SealedSecret;

/// Judges what a webhook is to be.
pub struct Registrar {
    guard: Guard,
    sealer: Sealer,
    most: i64,
}

impl Registrar {
    /// # Errors
    /// `InvalidRequest` when the settings have a bad key.
    pub fn new(settings: &WebhooksSettings) -> Result<Self> {
        let sealer = Sealer::new(&settings.secret_key, &settings.old_secret_keys)?;
        Ok(Self { guard: Guard::new(settings), sealer, most: settings.max_per_tenant })
    }

    /// A URL to which webhooks may go, as it is written. Its host is looked up, and judged, with each attempt.
    ///
    /// # Errors
    /// `InvalidRequest` with the parameter `url`.
    pub fn judge_url(&self, text: &str) -> Result<String> {
        self.guard.judge_url(text).map(String::from)
    }

    /// A secret for this webhook, for its owner to see once, and as it is stored.
    ///
    /// # Errors
    /// `Internal` when it can't be encrypted.
    pub fn new_secret(&self, webhook: &WebhookId) -> Result<(SecretString, SealedSecret)> {
        let secret = sign::new_secret();
        let sealed = self.sealer.seal(webhook, &secret)?;
        if !self.sealer.encrypts() {
            tracing::warn!(webhook.id = %webhook, "a webhook's secret is stored unencrypted: webhooks.secret_key is not set");
        }
        Ok((secret, sealed))
    }

    /// How many webhooks a tenant may have.
    #[must_use]
    pub fn most(&self) -> i64 {
        self.most
    }
}
