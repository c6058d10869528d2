//! Signing secrets at rest: encrypted with AES-256-GCM under a key from the settings and bound to their webhook, so that no other row
//! can be given one of them. Without a key they are stored as they are.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::settings::Secret;
use domain::{Error, Result, WebhookId};
use secrecy::{ExposeSecret, SecretString};
use store::SealedSecret;

const PLAIN: &str = "plain:";
const SEALED: &str = "aes256gcm:";
/// Hex digits of a key's digest that tell which key it was.
const KEY_ID_CHARS: usize = 8;

/// Seals with the first key, opens with any.
pub(crate) struct Sealer {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

impl Sealer {
    /// # Errors
    /// `InvalidRequest` when a key is not 64 hex digits, or there are old ones only.
    pub(crate) fn new(current: &Secret, old: &[Secret]) -> Result<Self> {
        if current.is_empty() && !old.is_empty() {
            return Err(Error::invalid(
                "webhooks.old_secret_keys has keys and webhooks.secret_key has none: set it too.",
            ));
        }
        let keys = [current].into_iter().chain(old).filter(|secret| !secret.is_empty());
        Ok(Self { keys: keys.map(Key::new).collect::<Result<_>>()? })
    }

    /// Whether secrets are encrypted.
    pub(crate) fn encrypts(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The secret of this webhook as it is stored.
    pub(crate) fn seal(&self, webhook: &WebhookId, secret: &SecretString) -> Result<SealedSecret> {
        let Some(key) = self.keys.first() else {
            return Ok(SealedSecret(format!("{PLAIN}{}", secret.expose_secret())));
        };
        let mut bytes = secret.expose_secret().as_bytes().to_vec();
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(webhook.as_str()), &mut bytes);
        let nonce = nonce.map_err(|_| Error::internal("a webhook's secret can't be encrypted"))?;
        let text = BASE64_STANDARD.encode([&nonce.as_ref()[..], &bytes].concat());
        Ok(SealedSecret(format!("{SEALED}{}:{text}", key.id)))
    }

    /// The secret of this webhook.
    ///
    /// # Errors
    /// `Internal` when no key opens it.
    pub(crate) fn open(&self, webhook: &WebhookId, sealed: &SealedSecret) -> Result<SecretString> {
        if let Some(plain) = sealed.0.strip_prefix(PLAIN) {
            return Ok(plain.into());
        }
        let parts = sealed.0.strip_prefix(SEALED).and_then(|rest| rest.split_once(':'));
        let (id, text) = parts.ok_or_else(|| Error::internal("a webhook's secret has an unknown form"))?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| {
            let text = format!(
                "a webhook's secret is encrypted with a key that begins its digest with {id}; it is neither \
                 webhooks.secret_key nor among webhooks.old_secret_keys"
            );
            Error::internal(text)
        })?;
        key.open(webhook, text).ok_or_else(|| Error::internal("a webhook's secret was changed or belongs to another"))
    }
}

impl Key {
    fn new(secret: &Secret) -> Result<Self> {
        let bytes = hex::decode(secret.expose().trim()).ok().filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| {
            Error::invalid("A key of webhooks.secret_key or old_secret_keys is not 64 hex digits; `openssl rand -hex 32` makes one.")
        })?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| Error::internal("a key of webhooks can't be used"))?;
        let mut id = hex::encode(digest(&SHA256, &bytes));
        id.truncate(KEY_ID_CHARS);
        Ok(Self { id, cipher })
    }

    fn open(&self, webhook: &WebhookId, text: &str) -> Option<SecretString> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.cipher.open_in_place(nonce, Aad::from(webhook.as_str()), &mut sealed).ok()?;
        std::str::from_utf8(plain).ok().map(SecretString::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Kind;

    fn key(digit: &str) -> Secret {
        Secret::from(digit.repeat(64))
    }

    #[test]
    fn a_sealed_secret_is_opened_for_its_webhook_only() {
        let sealer = Sealer::new(&key("a"), &[]).unwrap();
        let (webhook, other, secret) = (WebhookId::generate(), WebhookId::generate(), SecretString::from("whsec_abc"));

        let sealed = sealer.seal(&webhook, &secret).unwrap();

        assert!(!sealed.0.contains("whsec_abc") && sealer.encrypts());
        assert_ne!(sealer.seal(&webhook, &secret).unwrap(), sealed);
        assert_eq!(sealer.open(&webhook, &sealed).unwrap().expose_secret(), "whsec_abc");
        assert!(sealer.open(&other, &sealed).is_err());
        let changed = SealedSecret(sealed.0.replace(&sealed.0[20..24], "AAAA"));
        assert!(sealer.open(&webhook, &changed).is_err());
    }

    #[test]
    fn a_key_that_was_replaced_still_opens() {
        let (webhook, secret) = (WebhookId::generate(), SecretString::from("whsec_abc"));
        let sealed = Sealer::new(&key("a"), &[]).unwrap().seal(&webhook, &secret).unwrap();

        let later = Sealer::new(&key("b"), &[key("a")]).unwrap();
        let much_later = Sealer::new(&key("b"), &[]).unwrap();

        assert!(later.open(&webhook, &sealed).is_ok());
        let error = much_later.open(&webhook, &sealed).unwrap_err();
        assert!(error.kind() == Kind::Internal && error.chain().contains("old_secret_keys"));
    }

    #[test]
    fn without_a_key_secrets_are_as_they_are() {
        let (none, some) = (Sealer::new(&Secret::default(), &[]).unwrap(), Sealer::new(&key("a"), &[]).unwrap());
        let (webhook, secret) = (WebhookId::generate(), SecretString::from("whsec_abc"));

        let sealed = none.seal(&webhook, &secret).unwrap();

        assert!(!none.encrypts());
        // A key that comes later reads them too.
        assert_eq!(some.open(&webhook, &sealed).unwrap().expose_secret(), "whsec_abc");
    }

    #[test]
    fn a_bad_key_is_refused_without_being_shown() {
        for bad in ["secret-that-is-no-hex", "abcd"] {
            let error = Sealer::new(&Secret::from(bad.to_owned()), &[]).err().unwrap();
            assert!(!error.chain().contains(bad), "{error:?}");
        }
        assert!(Sealer::new(&Secret::default(), &[key("a")]).is_err());
    }
}
