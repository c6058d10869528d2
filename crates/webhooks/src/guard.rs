//! Where webhooks may not go: whoever makes one must not reach through it what only the platform can reach. An address is judged
//! where it is used, that is after every look-up of a name.

mod special;

use crate::settings::{Allowed, WebhooksSettings};
use domain::{Error, Result};
use std::{fmt, net::IpAddr};
use url::{Host, Url};

const MAX_URL_BYTES: usize = 2_048;
/// Below it are the ports of services that are not for everybody, these two apart.
const FIRST_FREE_PORT: u16 = 1_024;
const WEB_PORTS: [u16; 2] = [80, 443];
/// Names that lead inside by their definition. That others do is seen when they are looked up.
const INSIDE: [&str; 3] = ["localhost", "local", "internal"];

/// An address to which nothing is sent. Its text names no address: what a name means inside is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbidden;

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The host has an address that is not public.")
    }
}

impl std::error::Error for Forbidden {}

/// Judges URLs and addresses.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allow: Vec<Allowed>,
    allow_http: bool,
}

impl Guard {
    pub(crate) fn new(settings: &WebhooksSettings) -> Self {
        Self { allow: settings.allow.clone(), allow_http: settings.allow_http }
    }

    /// Reads a URL to which webhooks may go, as far as can be said without a look-up.
    ///
    /// # Errors
    /// `InvalidRequest` with the parameter `url`.
    pub(crate) fn judge_url(&self, text: &str) -> Result<Url> {
        if text.len() > MAX_URL_BYTES {
            return refuse(format!("`url` has {} bytes; {MAX_URL_BYTES} are allowed.", text.len()));
        }
        let Ok(url) = Url::parse(text) else {
            return refuse("`url` is not an absolute URL, as https://hooks.example.com/tandem.".to_owned());
        };
        if url.scheme() != "https" && !(self.allow_http && url.scheme() == "http") {
            let scheme = url.scheme().chars().take(16).collect::<String>();
            return refuse(format!("`url` has the scheme '{scheme}'; it must begin with https://."));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return refuse("`url` must have no user, password or fragment; a token may stand in its path.".to_owned());
        }
        self.judge_host(&url)?;
        Ok(url)
    }

    fn judge_host(&self, url: &Url) -> Result<()> {
        let is_allowed = match url.host() {
            Some(Host::Domain(name)) => {
                if self.allows_host(name) {
                    return Ok(());
                }
                let name = name.trim_end_matches('.');
                !INSIDE.iter().any(|inside| name.rsplit('.').next() == Some(*inside))
            }
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            None => false,
        };
        if !is_allowed {
            return refuse("The host of `url` is not public. Operators allow hosts with `webhooks.allow`.".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if port < FIRST_FREE_PORT && !WEB_PORTS.contains(&port) {
            return refuse(format!(
                "`url` has the port {port}; allowed are 443, 80 and those from {FIRST_FREE_PORT} on."
            ));
        }
        Ok(())
    }

    /// Judges what a name was found to mean. One address that is forbidden forbids all: which one is taken is chance.
    pub(crate) fn judge_addresses(&self, name: &str, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        let are_fine = self.allows_host(name) || addresses.iter().all(|address| self.allows(*address));
        if are_fine { Ok(()) } else { Err(Forbidden) }
    }

    fn allows_host(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.allow.iter().any(|allowed| matches!(allowed, Allowed::Host(host) if host.eq_ignore_ascii_case(name)))
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_inside = |allowed: &Allowed| matches!(allowed, Allowed::Network(network) if network.contains(&address));
        special::is_public(address) || self.allow.iter().any(is_inside)
    }
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::invalid(message).with_param("url").with_code("invalid_value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], allow_http: bool) -> Guard {
        let allow = allow.iter().map(|text| Allowed::try_from((*text).to_owned()).unwrap()).collect();
        Guard { allow, allow_http }
    }

    #[test]
    fn public_urls_are_fine() {
        let guard = guard(&[], false);

        for url in [
            "https://hooks.example.com",
            "https://hooks.example.com:8443/a/b?token=c",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1::1]/",
            "https://internal.example.com/",
        ] {
            assert!(guard.judge_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn whatever_leads_inside_or_is_no_web_address_is_refused() {
        let guard = guard(&[], false);

        for url in [
            "",
            "hooks.example.com",
            "http://hooks.example.com",
            "ftp://hooks.example.com",
            "file:///etc/passwd",
            "https://",
            "https://user@hooks.example.com",
            "https://:secret@hooks.example.com",
            "https://hooks.example.com/#part",
            "https://hooks.example.com:22",
            "https://localhost",
            "https://LOCALHOST.:8443",
            "https://a.localhost",
            "https://printer.local",
            "https://metadata.google.internal/computeMetadata",
            "https://169.254.169.254/latest",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://0/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[fd00:ec2::254]/",
        ] {
            assert_eq!(guard.judge_url(url).unwrap_err().param(), Some("url"), "{url}");
        }
        assert!(guard.judge_url(&format!("https://hooks.example.com/{}", "a".repeat(2_048))).is_err());
    }

    #[test]
    fn operators_allow_networks_hosts_and_http() {
        let guard = guard(&["10.0.0.0/8", "hooks.internal"], true);

        for url in ["http://10.1.2.3:8080/", "https://hooks.internal./", "http://HOOKS.internal", "http://example.com"]
        {
            assert!(guard.judge_url(url).is_ok(), "{url}");
        }
        for url in ["http://11.0.0.0.internal", "http://127.0.0.1", "https://other.internal", "ftp://10.1.2.3"] {
            assert!(guard.judge_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn one_forbidden_address_forbids_the_name() {
        let guard = guard(&["hooks.internal"], false);
        let (public, private) = ("93.184.216.34".parse().unwrap(), "10.0.0.1".parse().unwrap());

        assert_eq!(guard.judge_addresses("a.example", &[public]), Ok(()));
        assert_eq!(guard.judge_addresses("a.example", &[public, private]), Err(Forbidden));
        assert_eq!(guard.judge_addresses("hooks.internal", &[private]), Ok(()));
    }
}
