//! The hosts of a cluster: read from settings, then tried in turn.

use super::{RabbitMqSettings, cord::Cord};
use async_rs::{Runtime, Tokio};
use domain::{Error, Result};
use lapin::{
    Connection, ConnectionProperties,
    runtime::default_runtime,
    tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig},
    uri::AMQPUri,
};
use rand::seq::SliceRandom;
use std::{io, path::Path, time::Duration};
use tokio::{runtime::Handle, time::timeout};
use url::{Host, Url};

/// How long a connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the brokers are, with credentials.
#[derive(Clone)]
pub(super) struct Hosts {
    uris: Vec<AMQPUri>,
    tls: OwnedTLSConfig,
    connect_timeout: Duration,
}

/// A connection to one of the hosts. Says goodbye when it is dropped, and does not wait for an answer for long.
pub(super) struct Broker {
    parts: Option<(Connection, Cord)>,
}

impl Hosts {
    /// Reads the settings.
    ///
    /// # Errors
    /// For a URL or a file that can't be used; a URL is not quoted, as it may hold a password.
    pub(super) fn read(settings: &RabbitMqSettings) -> Result<Self> {
        let numbered = settings.urls.iter().enumerate();
        let uris = numbered.map(|(number, url)| {
            let mut uri = read_url(url.expose())
                .map_err(|why| Error::invalid(format!("doorbell.rabbitmq.urls, number {}: {why}", number + 1)))?;
            uri.query.heartbeat = Some(settings.heartbeat_secs.max(1));
            Ok(uri)
        });
        let uris: Vec<_> = uris.collect::<Result<_>>()?;
        if uris.is_empty() {
            return Err(Error::invalid("doorbell.rabbitmq.urls is empty; write amqp://user:password@host:5672"));
        }
        let cert_chain = settings.ca_file.as_deref().map(read_certificates).transpose()?;
        let tls = OwnedTLSConfig { cert_chain, ..OwnedTLSConfig::default() };
        Ok(Self { uris, tls, connect_timeout: settings.connect_timeout() })
    }

    /// How long a connection may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Connects to the first host that lets us; they are tried in an order of chance, so that a cluster is used evenly. `purpose` is
    /// how the broker names the connection.
    ///
    /// # Errors
    /// When none does, with what each said.
    pub(super) async fn connect(&self, purpose: &str) -> Result<Broker> {
        let mut uris: Vec<_> = self.uris.iter().collect();
        uris.shuffle(&mut rand::rng());
        let mut refusals = Vec::new();
        for uri in uris {
            match self.connect_to(uri, purpose).await {
                Ok(broker) => return Ok(broker),
                Err(why) => refusals.push(format!("{}:{}: {why}", uri.authority.host, uri.authority.port)),
            }
        }
        Err(Error::unavailable("RabbitMQ can't be reached").with_source(refusals.join("; ")))
    }

    async fn connect_to(&self, uri: &AMQPUri, purpose: &str) -> Result<Broker, String> {
        let cord = Cord::default();
        let (knot, tls, limit) = (cord.knot(), self.tls.clone(), self.connect_timeout);
        let properties = ConnectionProperties::default().with_connection_name(purpose.into());
        let runtime = default_runtime().map_err(|error| error.to_string())?;
        let reach = async move |uri: AMQPUri, runtime: Runtime<Tokio>| {
            let connecting = uri.connect_with_config_async(tls.as_ref(), &runtime);
            let stream = timeout(limit, connecting).await.map_err(io::Error::from)??;
            match &stream {
                AsyncTcpStream::Plain(socket) => knot.tie(socket.get_ref())?,
                AsyncTcpStream::Rustls(secured) => knot.tie(secured.get_ref().0.get_ref())?,
                _ => return Err(io::Error::other("a kind of connection that nobody asked for").into()),
            }
            Ok(stream)
        };
        let opening = Connection::connector(uri.clone(), runtime, reach, properties);
        match timeout(limit, opening).await {
            Ok(Ok(connection)) => Ok(Broker { parts: Some((connection, cord)) }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}

impl Broker {
    /// The connection itself.
    pub(super) fn connection(&self) -> &Connection {
        let parts = self.parts.as_ref().expect("only dropping takes them");
        &parts.0
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Some((connection, cord)) = self.parts.take() else { return };
        // Outside a runtime the socket is just closed, which RabbitMQ notes in its log.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // A broker that is gone can't be told.
                let _ = timeout(FAREWELL, connection.close(200, "OK".into())).await;
                drop(cord);
            });
        }
    }
}

/// Reads a URL. What is wrong with it is said without quoting it.
fn read_url(text: &str) -> Result<AMQPUri, String> {
    let url = Url::parse(text).map_err(|error| format!("no URL: {error}"))?;
    if !["amqp", "amqps"].contains(&url.scheme()) {
        return Err("it has to begin with amqp:// or amqps://".to_owned());
    }
    let mut uri: AMQPUri = text.parse().map_err(|_| "no URL of AMQP: amqp://user:password@host:5672/vhost")?;
    match url.host() {
        None => return Err("it names no host".to_owned()),
        // The client's own reading takes every address of version 6 for localhost.
        Some(Host::Ipv6(address)) => uri.authority.host = address.to_string(),
        Some(_) => {}
    }
    if uri.vhost.is_empty() {
        return Err("its virtual host is empty; write no / at the end, or /%2F, for the default one".to_owned());
    }
    Ok(uri)
}

fn read_certificates(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let text = format!("doorbell.rabbitmq.ca_file: {} can't be read: {error}", path.display());
        Error::invalid(text).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::settings::Secret;

    fn hosts(urls: &[&str]) -> Result<Hosts> {
        let urls = urls.iter().map(|url| Secret::from((*url).to_owned())).collect();
        Hosts::read(&RabbitMqSettings { urls, ..RabbitMqSettings::default() })
    }

    #[test]
    fn urls_are_read_with_their_defaults() {
        let hosts = hosts(&["amqp://mq", "amqps://me:pa%2Fss@mq.example.com/jobs", "amqp://[::1]:5673/%2F"]).unwrap();

        let read = hosts.uris.iter().map(|uri| {
            let (authority, heartbeat) = (&uri.authority, uri.query.heartbeat);
            (
                authority.host.as_str(),
                authority.port,
                authority.userinfo.password.as_str(),
                uri.vhost.as_str(),
                heartbeat,
            )
        });

        let expected = [
            ("mq", 5672, "guest", "/", Some(10)),
            ("mq.example.com", 5671, "pa/ss", "jobs", Some(10)),
            ("::1", 5673, "guest", "/", Some(10)),
        ];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_bad_url_is_refused_by_its_number_and_without_its_password() {
        let bad = [
            "",
            "mq:5672",
            "http://u:hunter2@mq",
            "amqp://u:hunter2@mq:port",
            "amqp://u:hunter2@mq/",
            "amqp://u:hunter2@mq?heartbeat=x",
            "amqp:///jobs",
        ];
        for url in bad {
            let error = hosts(&["amqp://mq", url]).err().expect(url).chain();
            assert!(error.contains("doorbell.rabbitmq.urls, number 2: ") && !error.contains("hunter2"), "{error}");
        }
        assert!(hosts(&[]).err().unwrap().chain().contains("is empty"));
    }
}
