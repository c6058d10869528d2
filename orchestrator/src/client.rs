//! HTTP connections to model servers: pooled, without Nagle's delay, with a limit on connecting.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Shorter than the 5 s after which the common model servers close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(4);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The connection pools of a process. Clones share them.
#[derive(Clone, Default)]
pub struct UpstreamClient {
    tls: Arc<Mutex<Option<Arc<rustls::ClientConfig>>>>,
    pools: Arc<Mutex<HashMap<Duration, Pool>>>,
}

impl fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamClient").finish_non_exhaustive()
    }
}

impl UpstreamClient {
    /// A client without connections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request and waits for the head of the answer. Dropping the future or the answer closes the connection.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        connect: Duration,
    ) -> Result<Response<Incoming>, Error> {
        let pool = self.pool(connect);
        pool.request(request).await
    }

    fn pool(&self, connect: Duration) -> Pool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(connect).or_insert_with(|| self.new_pool(connect)).clone()
    }

    fn new_pool(&self, connect: Duration) -> Pool {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_connect_timeout(Some(connect));
        tcp.enforce_http(false);
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(tls_config).clone();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector)
    }
}

fn tls_config() -> Arc<rustls::ClientConfig> {
    // Fails only when the process has chosen its provider before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = match rustls::ClientConfig::builder().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no root certificates on this machine: https model servers can't be reached");
            rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    };
    Arc::new(config)
}
