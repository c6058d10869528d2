//! The way to Pub/Sub, for everything that speaks to it: where it is, with which credentials, how its resources are named, and what
//! its errors say.

use domain::{Error, Result};
use google_cloud_auth::credentials::{self, CacheableResource, Credentials, anonymous};
use google_cloud_pubsub::{
    builder::{publisher::PublisherBuilder, subscriber, subscription_admin, topic_admin},
    client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin},
};

/// Every client of Google's looks here for an emulator; this one leaves it to us.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

const GOOGLE: &str = "https://pubsub.googleapis.com";

/// Where Pub/Sub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Google's, at this address.
    Google(String),
    /// An emulator at this address, which asks for no credentials.
    Emulator(String),
}

impl Place {
    /// The place of this name: an emulator as `host:port` or `http://host:port`, or an endpoint of Google's as `https://host`.
    ///
    /// # Errors
    /// Says what is allowed.
    pub(crate) fn named(text: &str) -> Result<Self, String> {
        let (scheme, host) = text.split_once("://").unwrap_or(("http", text));
        let is_host = !host.is_empty() && !host.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        match scheme {
            "http" if is_host => Ok(Self::Emulator(format!("http://{host}"))),
            "https" if is_host => Ok(Self::Google(text.to_owned())),
            _ => Err(format!(
                "`host:port` of an emulator, or `https://REGION-pubsub.googleapis.com`, without a path; not {text:?}"
            )),
        }
    }

    /// The emulator that the environment names, else Google's.
    ///
    /// # Errors
    /// When the environment names what can't be one.
    pub(crate) fn of_environment() -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the variable is Google's, not a setting of ours")]
        let emulator = std::env::var(EMULATOR).ok().filter(|host| !host.is_empty());
        let Some(host) = emulator else { return Ok(Self::Google(GOOGLE.to_owned())) };
        Self::named(&host).map_err(|why| Error::invalid(format!("{EMULATOR}: {why}")))
    }

    /// A way there.
    ///
    /// # Errors
    /// When no credentials are found.
    pub(crate) fn way(&self) -> Result<Way> {
        let (endpoint, credentials) = match self {
            Self::Emulator(endpoint) => (endpoint, anonymous::Builder::new().build()),
            Self::Google(endpoint) => {
                let found = credentials::Builder::default().build();
                (endpoint, found.map_err(|error| failed("no credentials of Google's are found", error))?)
            }
        };
        Ok(Way { endpoint: endpoint.clone(), credentials })
    }
}

/// A place with the credentials for it. Each client that is built has a connection of its own.
pub(crate) struct Way {
    endpoint: String,
    credentials: Credentials,
}

impl Way {
    /// The address of its REST API.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a request to the REST API has to carry.
    ///
    /// # Errors
    /// When no credentials are to be had now.
    pub(crate) async fn headers(&self) -> Result<http::HeaderMap> {
        match self.credentials.headers(http::Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            // It is said of what was asked for with a tag only.
            Ok(CacheableResource::NotModified) => Err(Error::internal("credentials that nobody had")),
            Err(error) => Err(failed("no credentials of Google's are found", error)),
        }
    }

    pub(crate) fn publisher(&self, topic: &str) -> PublisherBuilder {
        Publisher::builder(topic).with_endpoint(&self.endpoint).with_credentials(self.credentials.clone())
    }

    pub(crate) fn subscriber(&self) -> subscriber::ClientBuilder {
        Subscriber::builder().with_endpoint(&self.endpoint).with_credentials(self.credentials.clone())
    }

    pub(crate) fn topics(&self) -> topic_admin::ClientBuilder {
        TopicAdmin::builder().with_endpoint(&self.endpoint).with_credentials(self.credentials.clone())
    }

    pub(crate) fn subscriptions(&self) -> subscription_admin::ClientBuilder {
        SubscriptionAdmin::builder().with_endpoint(&self.endpoint).with_credentials(self.credentials.clone())
    }
}

/// An error of the client. As text, because its errors repeat their causes in their own.
pub(crate) fn failed(what: &'static str, cause: impl std::fmt::Display) -> Error {
    Error::unavailable(what).with_source(cause.to_string())
}

/// Whether this is the full name of a resource of `kind`, as `projects/P/topics/T` is of `topics`.
pub(crate) fn is_full_name(text: &str, kind: &str) -> bool {
    matches!(text.split('/').collect::<Vec<_>>()[..], ["projects", project, of, name]
        if of == kind && is_name(project) && is_name(name))
}

/// Whether a project or a resource can have this name.
pub(crate) fn is_name(text: &str) -> bool {
    (3..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~+%:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_address_is_an_emulator_and_a_secure_one_is_googles() {
        let emulator = Place::Emulator("http://localhost:8085".to_owned());
        let regional = "https://europe-west1-pubsub.googleapis.com";

        assert_eq!(Place::named("localhost:8085").as_ref(), Ok(&emulator));
        assert_eq!(Place::named("http://localhost:8085"), Ok(emulator));
        assert_eq!(Place::named(regional), Ok(Place::Google(regional.to_owned())));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "http://", "https://host/path", "ftp://host", "a b", "host:1/"] {
            let why = Place::named(text).unwrap_err();
            assert!(why.contains("host:port"), "{why}");
        }
    }
}
