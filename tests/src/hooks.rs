//! A tenant's server for webhooks: keeps what it gets, and answers once it may.

use crate::served::{Answer, Answers, Served};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// See the head of this file.
pub struct Hooks {
    served: Served,
    inner: Arc<Inner>,
}

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Hook {
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

struct Inner {
    got: Mutex<Vec<Hook>>,
    answers: watch::Sender<bool>,
}

impl Hooks {
    /// A server that has got nothing. Unless it `answers`, everybody waits until [`Hooks::answer`].
    pub async fn start(answers: bool) -> Self {
        let inner = Inner { got: Mutex::default(), answers: watch::Sender::new(answers) };
        let (served, inner) = Served::new(|_| Arc::new(inner)).await;
        Self { served, inner }
    }

    /// Where webhooks go.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/hook", self.served.url)
    }

    /// Answers 200 from now on, also to those who wait.
    pub fn answer(&self) {
        self.inner.answers.send_replace(true);
    }

    /// What came, in its order.
    #[must_use]
    pub fn got(&self) -> Vec<Hook> {
        self.inner.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Answers for Inner {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let headers = request.headers().clone();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(Hook { headers, body });
        // The sender lives as long as this.
        let _ = self.answers.subscribe().wait_for(|may| *may).await;
        Response::new(Full::default().boxed())
    }
}
