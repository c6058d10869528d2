//! Signatures after the Standard Webhooks specification.

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{Error, Result};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use standardwebhooks::Webhook;

/// A new signing secret: 256 random bits in the form that every library of the specification reads.
pub(crate) fn new_secret() -> SecretString {
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    format!("whsec_{}", BASE64_STANDARD.encode(random)).into()
}

/// The header `webhook-signature`: one signature for each secret, so that a receiver may know either.
pub(crate) fn signatures(secrets: &[SecretString], id: &str, timestamp: i64, body: &str) -> Result<String> {
    let signature = |secret: &SecretString| {
        let webhook = Webhook::new(secret.expose_secret()).map_err(Error::internal)?;
        webhook.sign(id, timestamp, body.as_bytes()).map_err(Error::internal)
    };
    Ok(secrets.iter().map(signature).collect::<Result<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn every_secret_verifies_and_no_other() {
        let (new, old, other) = (new_secret(), new_secret(), new_secret());
        let now = chrono::Utc::now().timestamp();

        let header = signatures(&[new.clone(), old.clone()], "evt_1", now, "{}").unwrap();

        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "evt_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", header.parse().unwrap());
        let verifies = |secret: &SecretString, body: &str| {
            Webhook::new(secret.expose_secret()).unwrap().verify(body.as_bytes(), &headers).is_ok()
        };
        assert!(verifies(&new, "{}") && verifies(&old, "{}"));
        assert!(!verifies(&other, "{}") && !verifies(&new, "{ }"));
    }
}
