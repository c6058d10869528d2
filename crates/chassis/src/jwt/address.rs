//! Where an issuer is, spelled as it spells itself: its address is compared letter by letter.

use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The address of an issuer: https, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// The text, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl TryFrom<String> for IssuerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = private(&text).map_err(|error| error.to_string())?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err("the address of an issuer has no query, fragment, user or password".to_owned());
        }
        Ok(Self(text))
    }
}

impl From<IssuerUrl> for String {
    fn from(url: IssuerUrl) -> Self {
        url.0
    }
}

/// An address to which nobody in between can listen.
pub(super) fn private(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|cause| Error::invalid(format!("`{text}` is not a URL: {cause}")))?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && is_here) {
        return Ok(url);
    }
    Err(Error::invalid(format!("`{text}` is neither an https URL nor an http URL of this machine")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_private() {
        for good in ["https://accounts.google.com", "http://127.0.0.1:1/a", "http://[::1]:80", "http://localhost"] {
            assert_eq!(IssuerUrl::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in
            ["http://example.com", "ftp://localhost", "x", "https://a/?q", "https://u:p@a", "http://127.0.0.1.evil"]
        {
            assert!(IssuerUrl::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
