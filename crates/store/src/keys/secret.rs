//! The secret of a key: made here, shown once, stored as its SHA-256.

use domain::{Error, Result};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::fmt;

const LONGEST_ENVIRONMENT: usize = 16;

/// A secret that nobody has seen yet.
pub(crate) struct Secret(String);

impl Secret {
    /// 256 random bits, behind what they are and where they are used.
    ///
    /// # Errors
    /// `InvalidRequest` when the environment is not a word.
    pub(crate) fn generate(environment: &str) -> Result<Self> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=LONGEST_ENVIRONMENT).contains(&environment.len()) || !environment.bytes().all(is_word) {
            let text = format!("The environment of a key is 1 to {LONGEST_ENVIRONMENT} of a-z and 0-9, as `live`.");
            return Err(Error::invalid(text).with_param("environment"));
        }
        let mut random = [0u8; 32];
        rand::rng().fill_bytes(&mut random);
        Ok(Self(format!("tdm_{environment}_{}", hex::encode(random))))
    }

    pub(crate) fn sha256(&self) -> Vec<u8> {
        Sha256::digest(&self.0).to_vec()
    }

    /// Enough of it to recognise it, too little to guess it.
    pub(crate) fn hint(&self) -> String {
        let random = self.0.rfind('_').map_or(0, |at| at + 1);
        format!("{}…", &self.0[..(random + 4).min(self.0.len())])
    }

    /// The text, for its owner.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_where_it_is_used_and_shows_little() {
        let secret = Secret::generate("staging").unwrap();

        assert!(secret.0.starts_with("tdm_staging_") && secret.0.len() == "tdm_staging_".len() + 64);
        assert_eq!(format!("{secret:?}").chars().count(), "tdm_staging_".len() + 5);
    }

    #[test]
    fn an_environment_is_a_word() {
        for word in ["", "Live", "a_b", "a b", "seventeen-letters", "12345678901234567"] {
            assert_eq!(Secret::generate(word).unwrap_err().param(), Some("environment"), "{word}");
        }
    }
}
