//! `/admin/v1/deployments`: who serves the models, and how they are just now. The catalog is a file; nothing here changes it.

use super::{access::By, bounds};
use crate::{app::App, extract::ApiQuery};
use axum::{Json, extract::State};
use chassis::http::ApiError;
use orchestrator::{DeploymentInfo, EndpointInfo, HealthInfo, LoadInfo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::batch::List;

/// One provider's way to serve a model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deployment {
    /// Model and name, as `chat/our-gpus`.
    id: String,
    /// Always `deployment`.
    object: &'static str,
    /// The model that it serves.
    model: String,
    /// Its name within the model.
    name: String,
    /// Whose API it is: `openai`, `anthropic` or `vertex`.
    provider: String,
    /// The server behind it: `vllm` or `unknown`.
    engine: String,
    /// The dialects it speaks by itself; others are translated.
    apis: Vec<String>,
    /// What the server calls the model.
    upstream_model: String,
    /// Lower ones are tried first.
    priority: i64,
    /// The share of requests among equals.
    weight: u64,
    /// How many calls may run at once; null = no limit.
    max_concurrency: Option<u64>,
    /// Calls that run, of the process that answers.
    in_flight: u64,
    /// Calls that wait because `max_concurrency` is reached.
    queued: u64,
    /// Its addresses.
    endpoints: Vec<Endpoint>,
}

/// An address of a deployment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Endpoint {
    /// Host and port.
    address: String,
    /// `closed` (it gets work), `open` (it failed too often) or `half_open` (one call may probe it).
    breaker: String,
    /// Until it gets work again, in milliseconds; null = it gets work.
    resting_ms: Option<u64>,
    /// What the last look found; null = nobody looks (only at vLLM), or nobody has yet.
    health: Option<Health>,
    /// What the server last said of its load; null = it does not say.
    load: Option<Load>,
    /// Calls that run, of the process that answers.
    in_flight: u64,
    /// How long first tokens took lately, in milliseconds.
    first_token_ms: Option<u64>,
}

/// What a look at a server found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `alive`, `dead` (it says so), `lacks_model` or `silent`.
    state: String,
    /// How long ago that was, in milliseconds.
    age_ms: u64,
}

/// What a server said of its load.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Load {
    /// Requests it works on, whoever sent them.
    running: f64,
    /// Requests that wait in it.
    waiting: f64,
    /// Share of its KV cache in use, from 0 to 1.
    kv_usage: f64,
    /// How long ago that was, in milliseconds.
    age_ms: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeploymentsQuery {
    /// Give what comes after the item of this id: the `last_id` of the page before.
    after: Option<String>,
    /// At most this many; 20 where it is not said.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Of this model only.
    model: Option<String>,
}

/// List every model's deployments with their state, by id.
#[utoipa::path(get, path = "/admin/v1/deployments", tag = "Models", params(DeploymentsQuery), responses((status = 200, body = List<Deployment>)))]
pub(super) async fn list(
    State(app): State<App>,
    by: By,
    ApiQuery(query): ApiQuery<DeploymentsQuery>,
) -> Result<Json<List<Deployment>>, ApiError> {
    let limit = usize::try_from(bounds::limit(query.limit.as_deref())?).expect("a limit is 1 to 100");
    let mut told = app.gateway.backend.deployments().await?;
    told.retain(|info| {
        by.caller.models.allows(&info.model) && query.model.as_ref().is_none_or(|model| *model == info.model)
    });
    let all = told.into_iter().map(Deployment::from).collect();
    Ok(Json(page(all, query.after.as_deref(), limit)))
}

/// The page after an id. That id may be gone: the catalog can change between two pages.
fn page(mut all: Vec<Deployment>, after: Option<&str>, limit: usize) -> List<Deployment> {
    all.retain(|deployment| after.is_none_or(|after| deployment.id.as_str() > after));
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let has_more = all.len() > limit;
    all.truncate(limit);
    List::new(all, has_more, |deployment| &deployment.id)
}

/// The last slash is the one between model and name, so that no two deployments have one id.
fn id(model: &str, name: &str) -> String {
    format!("{model}/{}", name.replace('%', "%25").replace('/', "%2F"))
}

impl From<DeploymentInfo> for Deployment {
    fn from(info: DeploymentInfo) -> Self {
        Self {
            id: id(&info.model, &info.name),
            object: "deployment",
            model: info.model,
            name: info.name,
            provider: info.provider,
            engine: info.engine,
            apis: info.apis,
            upstream_model: info.upstream_model,
            priority: info.priority,
            weight: info.weight,
            max_concurrency: info.max_concurrency,
            in_flight: info.in_flight,
            queued: info.queued,
            endpoints: info.endpoints.into_iter().map(Endpoint::from).collect(),
        }
    }
}

impl From<EndpointInfo> for Endpoint {
    fn from(info: EndpointInfo) -> Self {
        let health = |HealthInfo { state, age_ms }| Health { state, age_ms };
        let load = |LoadInfo { running, waiting, kv_usage, age_ms }| Load { running, waiting, kv_usage, age_ms };
        Self {
            address: info.address,
            breaker: info.breaker,
            resting_ms: info.resting_ms,
            health: info.health.map(health),
            load: info.load.map(load),
            in_flight: info.in_flight,
            first_token_ms: info.first_token_ms,
        }
    }
}
