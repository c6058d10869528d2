//! A stand-in for Google Cloud Storage, for tests: what of its XML and JSON APIs a blob store needs, with preconditions,
//! generations and checksums, and with faults on request. Buckets exist as soon as somebody names them. Everything is
//! in memory and ends with the process.

mod answer;
mod faults;
mod json;
mod objects;
mod xml;

pub use faults::{Fault, Harm};

use answer::Answer;
use faults::Faults;
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use objects::Objects;
use parking_lot::Mutex;
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

/// A running stand-in, which ends with its guard.
pub struct Bucket {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    objects: Mutex<Objects>,
    faults: Mutex<Faults>,
    composed: AtomicU64,
}

/// A connection that ends without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on request")
    }
}

impl std::error::Error for Cut {}

impl Bucket {
    /// Starts it at a free port of this machine.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let faults = Mutex::default();
        let shared = Arc::new(Shared { objects: Mutex::default(), faults, composed: AtomicU64::new(0) });
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, Arc::clone(&shared));
        // Ends when the guard drops its end of the channel.
        tokio::spawn(async move {
            tokio::select! {
                () = serving => {}
                _ = stopped => {}
            }
        });
        Ok(Self { address, shared, _stop: stop })
    }

    /// Its address, to be named as the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does wrong from now on; the first fault that fits a request is done to it.
    pub fn arm(&self, fault: Fault) {
        self.shared.faults.lock().arm(fault);
    }

    /// Does right again.
    pub fn disarm(&self) {
        self.shared.faults.lock().disarm();
    }

    /// How many requests have been done wrong to.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.shared.faults.lock().harmed()
    }

    /// How many objects were composed.
    #[must_use]
    pub fn composed(&self) -> u64 {
        self.shared.composed.load(Ordering::Relaxed)
    }

    /// The names of all objects of a bucket.
    #[must_use]
    pub fn names(&self, bucket: &str) -> Vec<String> {
        self.shared.objects.lock().names(bucket)
    }

    /// Puts an object there, whatever was there before.
    pub fn put(&self, bucket: &str, name: &str, bytes: impl Into<bytes::Bytes>) {
        self.shared.objects.lock().put(bucket, name, bytes.into());
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // Whoever was cut off notices.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, request: http::Request<Incoming>) -> Result<Answer, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let harm = shared.faults.lock().harm(&parts.method, parts.uri.path());
    match harm {
        None => Ok(respond(&shared, &parts, body)),
        Some(Harm::Refuse(status)) => Ok(answer::failure(status, "asked to fail")),
        Some(Harm::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            Ok(respond(&shared, &parts, body))
        }
        Some(Harm::LoseAnswer) => {
            respond(&shared, &parts, body);
            Err(Cut)
        }
        Some(Harm::Tear) => {
            let half = body.slice(..body.len() / 2);
            xml::tear(&mut shared.objects.lock(), &parts, half);
            Err(Cut)
        }
        Some(Harm::BreakOff) => Ok(answer::broken_off(respond(&shared, &parts, body))),
    }
}

fn respond(shared: &Shared, parts: &http::request::Parts, body: bytes::Bytes) -> Answer {
    let mut objects = shared.objects.lock();
    if parts.uri.path().starts_with(json::ROOT) {
        let answer = json::respond(&mut objects, parts, &body);
        let is_compose = parts.method == http::Method::POST && answer.status().is_success();
        shared.composed.fetch_add(u64::from(is_compose), Ordering::Relaxed);
        return answer;
    }
    xml::respond(&mut objects, parts, body)
}
