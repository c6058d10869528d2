//! A server of a tenant: keeps what it gets and answers as it is told.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use standardwebhooks::Webhook;
use std::{convert::Infallible, net::IpAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    /// The address that it was sent to.
    pub(crate) at: IpAddr,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What it answers to its n-th request; `None` is no answer at all.
type Answers = dyn Fn(usize) -> Option<Response<Full<Bytes>>> + Send + Sync;

pub(crate) struct Receiver {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(
        answers: impl Fn(usize) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(listen(listener, Arc::clone(&got), Arc::new(answers)));
        Self { port, got, task }
    }

    /// One that takes everything.
    pub(crate) async fn friendly() -> Self {
        Self::start(|_| Some(status(200))).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn verifies(&self, secret: &SecretString) -> bool {
        Webhook::new(secret.expose_secret()).unwrap().verify(&self.body, &self.headers).is_ok()
    }
}

pub(crate) fn status(code: u16) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}

async fn listen(listener: TcpListener, got: Arc<Mutex<Vec<Got>>>, answers: Arc<Answers>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let at = connection.local_addr().unwrap().ip();
        let (got, answers) = (Arc::clone(&got), Arc::clone(&answers));
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, at, &got, &*answers));
            // A client that breaks off is none of the test's business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    at: IpAddr,
    got: &Mutex<Vec<Got>>,
    answers: &Answers,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let n = {
        let mut got = got.lock();
        got.push(Got { at, path: parts.uri.path().to_owned(), headers: parts.headers, body });
        got.len() - 1
    };
    match answers(n) {
        Some(response) => Ok(response),
        None => std::future::pending().await,
    }
}
