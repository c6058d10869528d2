//! Small servers that a site's processes talk to.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// A server on a port of its own, HTTP/1.1 and HTTP/2 in the clear. Ends when it is dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Served {
    /// Binds first, so that what answers may know its address.
    pub(crate) async fn new<A: Answers>(make: impl FnOnce(&str) -> Arc<A>) -> (Self, Arc<A>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("its address");
        let url = format!("http://{address}");
        let answers = make(&url);
        let task = tokio::spawn(listen(listener, Arc::clone(&answers)));
        (Self { url, task }, answers)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen<A: Answers>(listener: TcpListener, answers: Arc<A>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let answers = Arc::clone(&answers);
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let answers = Arc::clone(&answers);
                async move { Ok::<_, Infallible>(answers.answer(request).await) }
            });
            // A client that breaks off is none of the test's business.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), answer).await;
        });
    }
}
