//! Asking an issuer for its keys: its discovery document names where they are. Answers are bounded in size and time, and
//! redirects are not followed.

use super::{Algorithm, IssuerUrl, address::private};
use domain::{Error, Kind, Result};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::OnceCell;

const MAX_ANSWER_BYTES: usize = 512 << 10;
const MAX_KEYS: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of an issuer by their name and the one algorithm that each is for.
pub(super) type Keys = HashMap<(String, Algorithm), Arc<DecodingKey>>;

/// Reads an issuer's keys.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: IssuerUrl,
    client: OnceCell<Client>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Value>,
}

impl Discovery {
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        Self { issuer, client: OnceCell::new() }
    }

    pub(super) async fn keys(&self) -> Result<Keys> {
        let document: Document = self.get(&self.issuer.discovery()).await?;
        if document.issuer != self.issuer.as_str() {
            return Err(unusable("its discovery document names another issuer"));
        }
        let address = private(&document.jwks_uri)?;
        let list: KeyList = self.get(address.as_str()).await?;
        if list.keys.len() > MAX_KEYS {
            return Err(unusable("it has too many keys"));
        }
        // Keys that nobody here understands are no reason to refuse the others.
        Ok(list.keys.into_iter().filter_map(to_key).collect())
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T> {
        let client = self.client.get_or_try_init(async || client()).await?;
        let mut response = client.get(address).send().await.map_err(unusable)?;
        if !response.status().is_success() {
            return Err(unusable(format!("{address} answers {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unusable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(unusable(format!("{address} answers with more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(unusable)
    }
}

fn client() -> Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
        .map_err(Error::internal)
}

/// A key that may check signatures, and for which algorithm: the kind of key decides, and `alg` may only agree.
fn to_key(json: Value) -> Option<((String, Algorithm), Arc<DecodingKey>)> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let agrees = common.key_algorithm.as_ref().is_none_or(|alg| *alg == named);
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let may_verify = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let kid = common.key_id.clone().filter(|_| agrees && is_for_signatures && may_verify)?;
    Some(((kid, algorithm), Arc::new(DecodingKey::from_jwk(&jwk).ok()?)))
}

fn unusable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unavailable, "The keys of the token's issuer can't be read right now; try again later.")
        .with_source(cause)
}
