//! HTTP connections to model servers: pooled, without Nagle's delay, with a limit on connecting.

mod connection;
mod pool;

use bytes::Bytes;
use connection::Connection;
use foldhash::HashMap;
use http::{
    HeaderValue, Request, Response, Uri,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::Mutex;
use pool::{LONGEST_IDLE, Pool};
use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

type Connector = HttpsConnector<HttpConnector>;
/// Whom a connection leads to.
type Origin = (Scheme, Authority);

/// The connections of a process to other servers. Clones share them.
#[derive(Clone, Default)]
pub struct UpstreamClient(Arc<Shared>);

#[derive(Default)]
struct Shared {
    connector: OnceLock<Connector>,
    pools: Mutex<HashMap<Origin, Arc<Pool>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("there is no connection")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the connection broke before there was an answer")]
    Lost(#[source] hyper::Error),
}

/// The body of an answer, with its connection. Dropping it before its end closes that.
pub(crate) struct AnswerBody {
    incoming: Incoming,
    connection: Option<Box<Connection>>,
    pool: Arc<Pool>,
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
        mut request: Request<Full<Bytes>>,
        connect: Duration,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let origin = address(&mut request)?;
        let pool = self.pool(&origin);
        request.headers_mut().insert(HOST, pool.host.clone());
        while let Some(mut idle) = pool.take() {
            match idle.ask(request).await {
                Ok(answer) => return Ok(with_connection(answer, idle, pool)),
                // Closed by the server since it was idle; none of the request was sent.
                Err(mut lost) => match lost.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Unanswered::Lost(lost.into_error())),
                },
            }
        }
        // Boxed, as what is rare: it would make the future of every request several times as large.
        let mut fresh = Box::pin(self.open(origin, connect)).await.map_err(Unanswered::Unreachable)?;
        let answer = fresh.ask(request).await.map_err(|lost| Unanswered::Lost(lost.into_error()))?;
        Ok(with_connection(answer, fresh, pool))
    }

    fn pool(&self, origin: &Origin) -> Arc<Pool> {
        let mut pools = self.0.pools.lock();
        if let Some(pool) = pools.get(origin) {
            return pool.clone();
        }
        if pools.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
        pools.entry(origin.clone()).or_insert_with(|| Arc::new(Pool::new(host(origin)))).clone()
    }

    async fn open(
        &self,
        (scheme, authority): Origin,
        within: Duration,
    ) -> Result<Box<Connection>, Box<dyn StdError + Send + Sync>> {
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()?;
        let connector = self.0.connector.get_or_init(connector).clone();
        let wire = timeout(within, connector.oneshot(uri)).await.map_err(|_| "it takes too long to connect")??;
        Ok(Box::new(Connection::new(wire).await?))
    }
}

/// Takes the address out of a request, whose first line then names the path alone (RFC 9112, section 3.2.1).
fn address(request: &mut Request<Full<Bytes>>) -> Result<Origin, Unanswered> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let path = parts.path_and_query.take().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    parts.scheme.zip(parts.authority).ok_or_else(|| Unanswered::Unreachable("the address has no host".into()))
}

/// How requests name the server: without its scheme's own port (RFC 9110, section 7.2), and without a user's name.
fn host((scheme, authority): &Origin) -> HeaderValue {
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = authority.port_u16().filter(|port| *port != usual);
    let host = port.map_or_else(|| authority.host().to_owned(), |port| format!("{}:{port}", authority.host()));
    HeaderValue::try_from(host).expect("a host of a URI is visible ASCII")
}

fn with_connection(answer: Response<Incoming>, connection: Box<Connection>, pool: Arc<Pool>) -> Response<AnswerBody> {
    answer.map(|incoming| AnswerBody { incoming, connection: Some(connection), pool })
}

/// Closes what is idle for too long and forgets servers that nobody asks any more, as long as there are any.
async fn sweep(shared: Weak<Shared>) {
    loop {
        sleep(LONGEST_IDLE).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut old = Vec::new();
        let mut pools = shared.pools.lock();
        pools.retain(|_, pool| {
            old.extend(pool.old());
            !pool.is_empty() || Arc::strong_count(pool) > 1
        });
        let is_over = pools.is_empty();
        drop(pools);
        // Closing takes a while, and requests ask for their pool meanwhile.
        drop(old);
        if is_over {
            return;
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
        let frame = ready!(connection.poll_frame(&mut this.incoming, cx));
        if frame.is_none()
            && let Some(connection) = this.connection.take()
        {
            this.pool.put(connection);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for AnswerBody {
    /// Who has read all that matters may not have seen the end, which is there already then.
    fn drop(&mut self) {
        let _ = Pin::new(self).poll_frame(&mut Context::from_waker(Waker::noop()));
    }
}

impl fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamClient").finish_non_exhaustive()
    }
}

fn connector() -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.enforce_http(false);
    HttpsConnectorBuilder::new().with_tls_config(tls_config()).https_or_http().enable_http1().wrap_connector(tcp)
}

fn tls_config() -> rustls::ClientConfig {
    // Fails only when the process has chosen its provider before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match rustls::ClientConfig::builder().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no root certificates on this machine: https model servers can't be reached");
            rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, combinators::BoxBody};
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use std::{convert::Infallible, net::SocketAddr};
    use tokio::{
        net::{TcpListener, TcpStream},
        sync::watch,
    };

    const CONNECT: Duration = Duration::from_secs(2);

    /// A server that answers every request alike, and says how many connections were opened and closed.
    struct Server {
        address: SocketAddr,
        opened: watch::Receiver<usize>,
        closed: watch::Receiver<usize>,
        hang_up: watch::Sender<()>,
    }

    impl Server {
        async fn start(answer: fn() -> BoxBody<Bytes, Infallible>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let ((opening, opened), (closing, closed)) = (watch::channel(0), watch::channel(0));
            let (hang_up, hung_up) = watch::channel(());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    opening.send_modify(|count| *count += 1);
                    let (closing, mut hung_up) = (closing.clone(), hung_up.clone());
                    hung_up.mark_unchanged();
                    tokio::spawn(async move {
                        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(answer())));
                        tokio::select! {
                            // Broken or not, it has ended.
                            _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
                            _ = hung_up.changed() => {}
                        }
                        closing.send_modify(|count| *count += 1);
                    });
                }
            });
            Self { address, opened, closed, hang_up }
        }

        async fn ask(&self, client: &UpstreamClient) -> Result<Response<AnswerBody>, Unanswered> {
            let request = Request::post(format!("http://{}/v1?q", self.address)).body(Full::default()).unwrap();
            client.send(request, CONNECT).await
        }

        async fn read(&self, client: &UpstreamClient) -> Bytes {
            self.ask(client).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        }

        async fn closed(&mut self, count: usize) {
            self.closed.wait_for(|closed| *closed == count).await.unwrap();
        }
    }

    fn whole() -> BoxBody<Bytes, Infallible> {
        Full::from("whole").boxed()
    }

    /// A first piece, and nothing ever after it.
    fn endless() -> BoxBody<Bytes, Infallible> {
        use futures::{StreamExt, stream};
        let frames = stream::iter([Ok(Frame::data(Bytes::from("first")))]).chain(stream::pending());
        BodyExt::boxed(http_body_util::StreamBody::new(frames))
    }

    fn in_pieces() -> BoxBody<Bytes, Infallible> {
        use futures::stream;
        let frames = ["a", "b", "c"].map(|text| Ok(Frame::data(Bytes::from(text))));
        BodyExt::boxed(http_body_util::StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let client = UpstreamClient::new();
        for (answer, text) in [(whole as fn() -> _, "whole"), (in_pieces, "abc")] {
            let server = Server::start(answer).await;

            for _ in 0..3 {
                assert_eq!(server.read(&client).await, text);
            }

            assert_eq!(*server.opened.borrow(), 1);
        }
    }

    #[test]
    fn a_server_is_named_without_what_goes_without_saying() {
        let named = |url: &str| {
            let parts = url.parse::<Uri>().unwrap().into_parts();
            host(&parts.scheme.zip(parts.authority).unwrap())
        };

        assert_eq!(named("http://a:8000/v1"), "a:8000");
        assert_eq!([named("http://a:80/"), named("https://a:443/"), named("https://a/")], ["a"; 3]);
        assert_eq!([named("https://u:p@[::1]:80/"), named("http://[::1]")], ["[::1]:80", "[::1]"]);
    }

    #[tokio::test]
    async fn requests_at_once_have_connections_of_their_own() {
        let (client, server) = (UpstreamClient::new(), Server::start(whole).await);

        let answers = tokio::join!(server.ask(&client), server.ask(&client));

        assert!(answers.0.is_ok() && answers.1.is_ok());
        assert_eq!(*server.opened.borrow(), 2);
    }

    #[tokio::test]
    async fn who_reads_all_but_the_end_leaves_a_connection_that_is_used_again() {
        let (client, server) = (UpstreamClient::new(), Server::start(whole).await);

        let mut body = server.ask(&client).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "whole");
        drop(body);
        server.read(&client).await;

        assert_eq!(*server.opened.borrow(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_takes_its_connection_along() {
        let (client, mut server) = (UpstreamClient::new(), Server::start(endless).await);
        let mut body = server.ask(&client).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();

        drop(body);

        server.closed(1).await;
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_takes_its_connection_along() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = UpstreamClient::new();
        let asking = client.send(Request::post(url).body(Full::default()).unwrap(), CONNECT);
        let mut accepted = tokio::select! {
            _ = asking => panic!("nobody answers"),
            accepted = listener.accept() => accepted.unwrap().0,
        };

        let read = tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut Vec::new()).await;

        // What it had sent, or nothing, and then the end.
        read.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_not_used() {
        let (client, mut server) = (UpstreamClient::new(), Server::start(whole).await);
        server.read(&client).await;

        server.hang_up.send_replace(());
        server.closed(1).await;
        // Once a later connection is there, the runtime has heard of the end of this one.
        TcpStream::connect(server.address).await.unwrap();

        assert_eq!(server.read(&client).await, "whole");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_closed_though_nobody_asks() {
        let (client, mut server) = (UpstreamClient::new(), Server::start(whole).await);
        server.read(&client).await;

        server.closed(1).await;

        assert!(client.0.pools.lock().is_empty());
        assert_eq!(server.read(&client).await, "whole");
    }

    #[tokio::test]
    async fn who_can_not_be_reached_is_told_from_who_hangs_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = UpstreamClient::new();
        let ask = async |url: String| {
            client.send(Request::post(url).body(Full::default()).unwrap(), CONNECT).await.err().unwrap()
        };

        let (lost, _) = tokio::join!(ask(format!("http://{address}/")), async { drop(listener.accept().await) });
        drop(listener);

        assert!(matches!(lost, Unanswered::Lost(_)), "{lost:?}");
        for url in [format!("http://{address}/"), "/no/host".to_owned()] {
            let unreachable = ask(url).await;
            assert!(matches!(unreachable, Unanswered::Unreachable(_)), "{unreachable:?}");
        }
    }
}
