//! Tokens that somebody else has signed: an issuer whose keys are published by OpenID Connect discovery. A token is believed when
//! a key of its issuer, of the kind that fits the allowed algorithm, has signed it and all of its claims hold. What a
//! token's header says besides `alg` and `kid` is never followed.

mod address;
mod claims;
mod discovery;
mod keys;
#[cfg(test)]
mod tests;

pub use address::IssuerUrl;
pub use claims::{claimed_issuer, is_token};
pub use domain::claims::Claims;

use crate::drain::Drain;
use domain::{Error, Kind, Result};
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use keys::KeySet;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;
const MAX_KID_BYTES: usize = 256;
/// What a token may say it is (RFC 8725, section 3.11): a logout token, for one, is no proof of who asks.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A signature algorithm with a public key. There are no others: whoever knows a shared secret could sign as the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::RS256, Self::ES256, Self::EdDSA];

    fn to_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Whose tokens are believed, and for what.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The issuer, as its tokens and its discovery document spell it.
    pub issuer: IssuerUrl,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// How it may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// How often the issuer's keys are read again.
    pub refresh: Duration,
    /// The shortest time between two readings, whatever tokens say.
    pub min_interval: Duration,
}

/// Believes the tokens of one issuer.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    keys: KeySet,
}

impl Verifier {
    /// A verifier that has not read any keys yet; it does when it needs them, or in [`Verifier::follow`].
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        let keys = KeySet::new(trust.issuer.clone(), trust.min_interval);
        Self { trust, keys }
    }

    /// The issuer, as tokens spell it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.trust.issuer.as_str()
    }

    /// What the token says, if it may be believed.
    ///
    /// # Errors
    /// `Unauthenticated` with what is wrong with it; `Unavailable` when the issuer's keys were never read.
    pub async fn verify(&self, token: &str) -> Result<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused(&format!("The token is longer than {MAX_TOKEN_BYTES} bytes.")));
        }
        let (algorithm, kid) = self.read_header(token)?;
        let key = self.keys.find(&kid, algorithm).await?;
        let key =
            key.ok_or_else(|| refused("The token's issuer publishes no key of the token's `kid` for its `alg`."))?;
        let token = decode::<Claims>(token, &key, &self.validation(algorithm)).map_err(|error| explain(&error))?;
        // The library also takes a list of issuers that has the right one among others.
        if token.claims.text("iss") != Some(self.issuer()) {
            return Err(refused("The token's `iss` is not the one issuer."));
        }
        Ok(token.claims)
    }

    /// Keeps the issuer's keys fresh until the drain begins.
    ///
    /// # Errors
    /// None: a reading that fails is logged, and the last known keys stay in force.
    pub async fn follow(&self, drain: Drain) -> Result<()> {
        let begun = drain.token();
        loop {
            let read = begun.run_until_cancelled(self.keys.refresh()).await;
            let pause = match read {
                None => return Ok(()),
                Some(Ok(())) => self.trust.refresh,
                Some(Err(error)) => {
                    tracing::warn!(issuer = self.issuer(), error = %error.chain(), "an issuer's keys can't be read");
                    self.trust.min_interval.min(self.trust.refresh)
                }
            };
            // Never without a pause, whatever the settings say.
            let pause = pause.max(Duration::from_secs(1));
            if begun.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// The algorithm, if it is an allowed one, and the name of the key.
    fn read_header(&self, token: &str) -> Result<(Algorithm, String)> {
        let header = decode_header(token).map_err(|error| explain(&error))?;
        let allowed = self.trust.algorithms.iter().find(|allowed| allowed.to_library() == header.alg);
        let algorithm = *allowed.ok_or_else(|| refused("The token's `alg` is not one that is allowed here."))?;
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(refused("The token's header asks for what is not understood here: `crit`, `enc` or `zip`."));
        }
        if header.typ.is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(refused("The token's `typ` is not one that is allowed here: `JWT` or `at+jwt`."));
        }
        let kid = header.kid.filter(|kid| (1..=MAX_KID_BYTES).contains(&kid.len()));
        let kid = kid.ok_or_else(|| refused(&format!("The token has no `kid` of 1 to {MAX_KID_BYTES} bytes.")))?;
        Ok((algorithm, kid))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm.to_library());
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        validation.set_issuer(&[self.issuer()]);
        validation.set_audience(&self.trust.audiences);
        validation.leeway = self.trust.leeway.as_secs();
        validation.validate_nbf = true;
        validation
    }
}

/// A 401 about a token.
fn refused(message: &str) -> Error {
    Error::new(Kind::Unauthenticated, message).with_code("invalid_token")
}

fn explain(error: &jsonwebtoken::errors::Error) -> Error {
    let text = match error.kind() {
        ErrorKind::ExpiredSignature => "The token has expired.",
        ErrorKind::ImmatureSignature => "The token is not valid yet.",
        ErrorKind::InvalidIssuer => "The token's `iss` is not the issuer that is trusted here.",
        ErrorKind::InvalidAudience => "The token is meant for another audience (`aud`).",
        ErrorKind::InvalidSignature => "The token's signature is not of the key that it names.",
        ErrorKind::MissingRequiredClaim(claim) => return refused(&format!("The token has no usable claim `{claim}`.")),
        _ => "The token can't be read, or its `alg` is not one that is allowed here.",
    };
    refused(text)
}
