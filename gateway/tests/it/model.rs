//! A model backend that plays from a script.

use async_trait::async_trait;
use domain::{Error, RequestContext, Result, Usage};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use orchestrator::{
    DeploymentInfo, EndpointInfo, Frame, ListPrice, ModelBackend, ModelBody, ModelInfo, ModelRequest, ModelResponse,
    Outcome, Served,
};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What the model `m` says.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// The events of a streamed answer.
    pub(crate) events: Vec<&'static str>,
    /// Whether a stream stays open after its events.
    pub(crate) hangs: bool,
    /// A stream goes on with these, and whole answers begin, as the gate lets them: one permit each.
    pub(crate) late: Vec<&'static str>,
    pub(crate) gate: Option<Arc<Semaphore>>,
    /// Whether a whole answer is cut in the middle.
    pub(crate) is_cut: bool,
    /// An error instead of an answer.
    pub(crate) fails: Option<fn() -> Error>,
    /// Who is told to have answered at the end of a stream.
    pub(crate) served: Option<Served>,
    /// What a million tokens cost.
    pub(crate) price: Option<ListPrice>,
    /// What an answer is said to have used.
    pub(crate) usage: Option<Usage>,
    /// Every request that arrived.
    pub(crate) heard: Arc<Mutex<Vec<(RequestContext, ModelRequest)>>>,
}

#[async_trait]
impl ModelBackend for Script {
    async fn call(&self, ctx: &RequestContext, request: ModelRequest) -> Result<ModelResponse> {
        if request.head.model != "m" && request.head.model != "org/m" {
            let message = format!("The model `{}` does not exist or you do not have access to it.", request.head.model);
            return Err(Error::not_found(message).with_code("model_not_found").with_param("model"));
        }
        if let Some(fail) = self.fails {
            return Err(fail());
        }
        let is_stream = request.head.stream;
        self.heard.lock().unwrap().push((ctx.clone(), request));
        if is_stream {
            return Ok(self.stream());
        }
        pass(self.gate.clone()).await;
        Ok(self.whole())
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        let info = |id: &str| ModelInfo {
            id: id.into(),
            owned_by: "test".into(),
            created: 1,
            max_model_len: Some(8),
            price: self.price,
            expected_output_tokens: 16,
            alias_of: None,
        };
        Ok(vec![info("m"), info("org/m")])
    }

    async fn deployments(&self) -> Result<Vec<DeploymentInfo>> {
        let endpoint = EndpointInfo { address: "h:8000".into(), breaker: "closed".into(), ..EndpointInfo::default() };
        let info = |(model, name): (&str, &str)| DeploymentInfo {
            model: model.into(),
            name: name.into(),
            endpoints: vec![endpoint.clone()],
            ..DeploymentInfo::default()
        };
        // Not in the order of their ids, and two whose names would be one if they were only put together.
        let deployments = [("org/m", "c"), ("m", "vllm-b"), ("m", "vllm-a"), ("org", "m/c")].map(info);
        Ok(deployments.into())
    }
}

impl Script {
    fn stream(&self) -> ModelResponse {
        let frames = stream::iter(self.events.clone()).map(|event| Frame::Data(event.into()));
        let end = stream::iter([Frame::End(Box::new(Outcome {
            served: self.served.clone(),
            usage: self.usage,
            ..Outcome::default()
        }))]);
        let gate = self.gate.clone();
        let late = stream::iter(self.late.clone()).then(move |event| {
            let gate = gate.clone();
            async move {
                pass(gate).await;
                Frame::Data(event.into())
            }
        });
        let frames = frames.chain(late);
        let body = if self.hangs {
            ModelBody::new(frames.chain(stream::pending()))
        } else {
            ModelBody::new(frames.chain(end))
        };
        response("text/event-stream; charset=utf-8", body)
    }

    fn whole(&self) -> ModelResponse {
        let error = self.is_cut.then(|| Error::unavailable("gone"));
        response(
            "application/json",
            ModelBody::whole(
                "{\"ok\": 1}".into(),
                Outcome { error, usage: self.usage, served: self.served.clone(), ..Outcome::default() },
            ),
        )
    }
}

async fn pass(gate: Option<Arc<Semaphore>>) {
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
}

fn response(content_type: &'static str, body: ModelBody) -> ModelResponse {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    ModelResponse {
        served: Some(Served { deployment: "vllm-a".into(), attempts: 2, ..Served::default() }),
        status: StatusCode::OK,
        headers,
        body,
    }
}
