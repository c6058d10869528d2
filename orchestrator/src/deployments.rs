//! How deployments and their endpoints are just now, as this process sees it: for operators, never for routing. Nothing of it
//! is secret: of an address only host and port are told, since its path or its user may be a credential.

use crate::{
    catalog::Api,
    endpoint::{Endpoint, Health, Scraped},
    table::{Deployed, Table},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// A deployment as the catalog says it, and what it does now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeploymentInfo {
    /// The model that it serves.
    pub model: String,
    /// Its name, unique within the model.
    pub name: String,
    /// Whose API it is: `openai`, `anthropic` or `vertex`.
    pub provider: String,
    /// The server behind it: `vllm` or `unknown`.
    pub engine: String,
    /// The dialects it speaks by itself.
    pub apis: Vec<String>,
    /// What the server calls the model.
    pub upstream_model: String,
    /// Lower ones are tried first.
    pub priority: i64,
    /// The share of requests among equals.
    pub weight: u64,
    /// How many calls may run at once; none = no limit.
    pub max_concurrency: Option<u64>,
    /// Calls of this process that run.
    pub in_flight: u64,
    /// Calls of this process that wait because `max_concurrency` is reached.
    pub queued: u64,
    /// Its addresses.
    pub endpoints: Vec<EndpointInfo>,
}

/// An address of a deployment, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Host and port.
    pub address: String,
    /// The breaker: `closed` (it gets work), `open` (it failed too often) or `half_open` (one call may probe it).
    pub breaker: String,
    /// Until it gets work again, in milliseconds; none = it gets work.
    pub resting_ms: Option<u64>,
    /// What the last look at it found; none = nobody looks, or has looked yet.
    pub health: Option<HealthInfo>,
    /// What the server last said of its load; none = it does not say, or has not yet.
    pub load: Option<LoadInfo>,
    /// Calls of this process that run.
    pub in_flight: u64,
    /// How long first tokens took lately, in milliseconds.
    pub first_token_ms: Option<u64>,
}

/// What a look at a server found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthInfo {
    /// `alive`, `dead` (it says so), `lacks_model` or `silent`.
    pub state: String,
    /// How long ago that was, in milliseconds.
    pub age_ms: u64,
}

/// What a server said of its load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadInfo {
    /// Requests it works on, whoever sent them.
    pub running: f64,
    /// Requests that wait in it.
    pub waiting: f64,
    /// Share of its KV cache in use, from 0 to 1.
    pub kv_usage: f64,
    /// How long ago that was, in milliseconds.
    pub age_ms: u64,
}

/// Every deployment of `table`, in the order of the catalog.
pub(crate) fn describe(table: &Table, now: Instant) -> Vec<DeploymentInfo> {
    let models = table.infos.iter().filter(|info| info.alias_of.is_none());
    let routes = models.filter_map(|info| table.route(&info.id));
    let each =
        routes.flat_map(|route| route.deployments.iter().map(|deployed| deployment(&route.model.name, deployed, now)));
    each.collect()
}

fn deployment(model: &str, deployed: &Deployed, now: Instant) -> DeploymentInfo {
    let written = &deployed.deployment;
    let endpoints: Vec<_> = deployed.endpoints.load().iter().map(|one| endpoint(one, now)).collect();
    let in_flight = endpoints.iter().map(|endpoint| endpoint.in_flight).sum();
    // The gate also counts calls to addresses that the name no longer has.
    let (in_flight, queued) =
        deployed.gate.load().map_or((in_flight, 0), |(running, queued)| (running as u64, queued as u64));
    DeploymentInfo {
        model: model.to_owned(),
        name: written.name.clone(),
        provider: written.provider.as_str().to_owned(),
        engine: written.engine.as_str().to_owned(),
        apis: written.apis.iter().copied().map(Api::as_str).map(str::to_owned).collect(),
        upstream_model: written.upstream_model.clone(),
        priority: written.priority,
        weight: written.weight,
        max_concurrency: written.max_concurrency.map(|count| count as u64),
        in_flight,
        queued,
        endpoints,
    }
}

fn endpoint(endpoint: &Endpoint, now: Instant) -> EndpointInfo {
    let resting = endpoint.breaker.closed_until(now).map(|until| until.saturating_duration_since(now));
    EndpointInfo {
        address: endpoint.name.clone(),
        breaker: endpoint.breaker.condition(now).as_str().to_owned(),
        resting_ms: resting.map(millis),
        health: endpoint.health().map(|(health, at)| told(health, since(at, now))),
        load: endpoint.last_scraped().map(|(scraped, at)| load(&scraped, since(at, now))),
        in_flight: endpoint.in_flight() as u64,
        first_token_ms: endpoint.first_token().map(millis),
    }
}

fn told(health: Health, age_ms: u64) -> HealthInfo {
    HealthInfo { state: health.as_str().to_owned(), age_ms }
}

fn load(scraped: &Scraped, age_ms: u64) -> LoadInfo {
    LoadInfo { running: scraped.running, waiting: scraped.waiting, kv_usage: scraped.kv_usage, age_ms }
}

fn since(then: Instant, now: Instant) -> u64 {
    millis(now.saturating_duration_since(then))
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Catalog, provider::Credentials};

    fn table(deployments: &str) -> Table {
        let text = format!("[[model]]\nname='z'\naliases=['b']\n{deployments}\n[[model]]\nname='a'\n{deployments}");
        Table::new(Catalog::parse(&text).unwrap(), &Table::default(), &Credentials::default())
    }

    #[tokio::test]
    async fn every_deployment_is_told_once_in_the_order_of_the_catalog() {
        let table = table(
            "[[model.deployment]]\nname='two'\nurl='http://h/v1'\n[[model.deployment]]\nname='one'\nurl='http://h/v1'",
        );

        let told = describe(&table, Instant::now());

        let names: Vec<_> = told.iter().map(|info| (info.model.as_str(), info.name.as_str())).collect();
        assert_eq!(names, [("z", "two"), ("z", "one"), ("a", "two"), ("a", "one")]);
    }

    #[tokio::test]
    async fn of_an_address_only_host_and_port_are_told() {
        let table =
            table("[[model.deployment]]\nname='d'\nurl='http://canary-user:canary-word@h:81/canary-path/v1?canary=1'");

        let told = describe(&table, Instant::now());

        assert_eq!(told[0].endpoints[0].address, "h:81");
        assert!(!serde_json::to_string(&told).unwrap().contains("canary"));
    }

    #[tokio::test]
    async fn what_was_seen_is_told_with_its_age() {
        let table = table("[[model.deployment]]\nname='d'\nengine='vllm'\nmax_concurrency=1\nurl='http://h/v1'");
        let now = Instant::now();
        let deployed = &table.route("z").unwrap().deployments[0];
        let endpoint = deployed.endpoints.load()[0].clone();
        let _slot = deployed.gate.try_enter(domain::Class::Batch).unwrap();
        let _call = endpoint.begin(1.0);
        endpoint.saw(Some(Scraped { running: 2.0, waiting: 1.0, kv_usage: 0.5, ..Scraped::default() }), now);
        endpoint.saw_health(Health::LacksModel, now);
        endpoint.breaker.rest(now + Duration::from_secs(6));

        let told = describe(&table, now + Duration::from_secs(2)).remove(0);

        let EndpointInfo { health, load, resting_ms, in_flight, .. } = &told.endpoints[0];
        assert_eq!(health.as_ref().unwrap(), &HealthInfo { state: "lacks_model".into(), age_ms: 2_000 });
        assert_eq!(load.unwrap(), LoadInfo { running: 2.0, waiting: 1.0, kv_usage: 0.5, age_ms: 2_000 });
        assert_eq!((*resting_ms, *in_flight), (Some(4_000), 1));
        assert_eq!((told.in_flight, told.queued, told.max_concurrency), (1, 0, Some(1)));
    }
}
