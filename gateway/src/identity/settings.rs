//! What an operator may say of keys and of the issuers whose tokens are taken.

use chassis::jwt::{Algorithm, IssuerUrl};
use domain::claims::Rule;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::collections::HashSet;

const LONGEST_WORD: usize = 16;
const LONGEST_NAME: usize = 32;
const MOST_LEEWAY_SECS: u64 = 300;

/// Keys and tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// The word in the secrets of new keys that tells where they are used.
    #[serde(deserialize_with = "word")]
    pub environment: String,
    /// How often the last uses of keys are written down, in milliseconds.
    pub last_used_ms: u64,
    /// Whose tokens are taken.
    #[serde(deserialize_with = "issuers")]
    pub issuers: Vec<IssuerSettings>,
    /// How often the keys of issuers are read again, in seconds. A token that was checked is checked again after
    /// this. 1 to 86,400.
    pub jwks_refresh_secs: u64,
    /// The shortest time between two readings of an issuer's keys, whatever tokens say, in seconds. 1 to 86,400.
    pub jwks_min_interval_secs: u64,
    /// How many checked tokens are remembered.
    pub token_cache_entries: u64,
}

/// An issuer whose tokens are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its name in the names of principals.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Its address, letter by letter as in the `iss` of its tokens.
    pub url: IssuerUrl,
    /// A token must be meant for one of these.
    #[serde(deserialize_with = "some")]
    pub audiences: Vec<String>,
    /// How its tokens may be signed.
    #[serde(default = "every_algorithm", deserialize_with = "some")]
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the principal.
    #[serde(default = "subject")]
    pub principal: String,
    /// How far its clock may differ from ours, in seconds.
    #[serde(default = "leeway", deserialize_with = "bounded_leeway")]
    pub leeway_secs: u64,
    /// What its tokens may do; the first rule that fits decides.
    pub rules: Vec<Rule>,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            environment: "live".to_owned(),
            last_used_ms: 60_000,
            issuers: Vec::new(),
            jwks_refresh_secs: 600,
            jwks_min_interval_secs: 30,
            token_cache_entries: 10_000,
        }
    }
}

fn every_algorithm() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}

fn subject() -> String {
    "sub".to_owned()
}

fn leeway() -> u64 {
    30
}

fn is_word(text: &str, longest: usize, more: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
    (1..=longest).contains(&text.len()) && text.chars().all(is_fine)
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_word(&text, LONGEST_WORD, "") {
        return Ok(text);
    }
    Err(D::Error::custom(format!("expected 1 to {LONGEST_WORD} of a-z and 0-9")))
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_word(&text, LONGEST_NAME, "-") {
        return Ok(text);
    }
    Err(D::Error::custom(format!("expected 1 to {LONGEST_NAME} of a-z, 0-9 and `-`")))
}

fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("expected at least one")) } else { Ok(list) }
}

fn bounded_leeway<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let secs = u64::deserialize(deserializer)?;
    if secs <= MOST_LEEWAY_SECS {
        return Ok(secs);
    }
    Err(D::Error::custom(format!("expected 0 to {MOST_LEEWAY_SECS} seconds")))
}

fn issuers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IssuerSettings>, D::Error> {
    let list = Vec::<IssuerSettings>::deserialize(deserializer)?;
    let names: HashSet<_> = list.iter().map(|issuer| &issuer.name).collect();
    let urls: HashSet<_> = list.iter().map(|issuer| &issuer.url).collect();
    if names.len() < list.len() || urls.len() < list.len() {
        return Err(D::Error::custom("expected a `name` and a `url` for each issuer that no other has"));
    }
    Ok(list)
}
