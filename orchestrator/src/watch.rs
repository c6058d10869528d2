//! What is learned of endpoints between requests: which addresses a name has, how much the model servers have to do, whether
//! they live and serve what the catalog says.

mod metrics;

use crate::{
    Router,
    catalog::{Discovery, Engine},
    client::UpstreamClient,
    endpoint::{Endpoint, Health},
    table::{Deployed, Route},
};
use bytes::Bytes;
use chassis::drain::Drain;
use domain::Result;
use futures::{StreamExt, stream};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry::{KeyValue, global, metrics::Gauge};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use url::Url;

/// How often load is read.
const PERIOD: Duration = Duration::from_secs(1);
/// How many periods lie between two looks at names, health and lists of models.
const SLOW: u64 = 5;
const PATIENCE: Duration = Duration::from_millis(900);
const CONNECT: Duration = Duration::from_millis(500);
const MAX_PAGE_BYTES: usize = 4 << 20;
/// Pages read at once.
const ABREAST: usize = 64;
/// How long an endpoint gets no work that said it is dead, or does not serve the model.
const REST: Duration = Duration::from_secs(6);

/// Watches the endpoints of `router` until `drain` begins, then waits for copies of requests that are under way.
///
/// # Errors
/// None: what can't be learned is not known, and the requests themselves find out.
pub async fn follow(router: Router, drain: Drain) -> Result<()> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let gauges = Gauges::new();
    let mut round = 0;
    loop {
        tokio::select! {
            () = drain.begun() => break,
            _ = ticks.tick() => look(&router, round, &gauges).await,
        }
        round += 1;
    }
    drain.expired().run_until_cancelled(router.shared.shadows.ended()).await;
    Ok(())
}

/// What is told of every deployment.
struct Gauges {
    endpoints: Gauge<u64>,
    batch_in_flight: Gauge<u64>,
    batch_room: Gauge<u64>,
}

impl Gauges {
    fn new() -> Self {
        let gauge = |name: &'static str| global::meter("tandem").u64_gauge(name).build();
        Self {
            endpoints: gauge("tandem.endpoints"),
            batch_in_flight: gauge("tandem.batch.in_flight"),
            batch_room: gauge("tandem.batch.room"),
        }
    }
}

async fn look(router: &Router, round: u64, gauges: &Gauges) {
    let table = router.shared.table.load_full();
    let deployments: Vec<_> = table.routes().flat_map(|route| route.deployments.clone()).collect();
    if round.is_multiple_of(SLOW) {
        stream::iter(&deployments).for_each_concurrent(ABREAST, |deployed| resolve(deployed)).await;
    }
    let client = &router.shared.client;
    let endpoints =
        deployments.iter().filter(|deployed| deployed.deployment.engine == Engine::Vllm).flat_map(|deployed| {
            let endpoints = deployed.endpoints.load_full();
            endpoints.iter().map(|endpoint| (deployed.clone(), endpoint.clone())).collect::<Vec<_>>()
        });
    stream::iter(endpoints)
        .for_each_concurrent(ABREAST, |(deployed, endpoint)| async move {
            scrape(client, &endpoint).await;
            if round.is_multiple_of(SLOW) {
                examine(client, &deployed, &endpoint).await;
            }
        })
        .await;
    for route in table.routes() {
        for deployed in &route.deployments {
            count(deployed, &gauges.endpoints);
            share_out(route, deployed, gauges);
        }
    }
}

/// Finds out what each endpoint can spare for batch.
fn share_out(route: &Route, deployed: &Deployed, gauges: &Gauges) {
    let (mut in_flight, mut room) = (0, 0);
    for endpoint in deployed.endpoints.load().iter() {
        let engine = endpoint.last_scraped().map(|(scraped, _)| scraped.into());
        let lateness = endpoint.first_token().map(|took| took.as_secs_f64() / route.model.slo_ttft.as_secs_f64());
        let (batch, most) = endpoint.spare.look(engine, lateness);
        in_flight += batch as u64;
        room += most as u64;
    }
    let deployment = [KeyValue::new("tandem.deployment", deployed.deployment.name.clone())];
    gauges.batch_in_flight.record(in_flight, &deployment);
    gauges.batch_room.record(room, &deployment);
}

/// Takes the addresses into use that the deployment's names have now. A name that can't be resolved changes nothing.
async fn resolve(deployed: &Deployed) {
    if deployed.deployment.discovery != Discovery::Dns {
        return;
    }
    let mut addresses = BTreeSet::new();
    for url in &deployed.deployment.urls {
        match lookup(url).await {
            Ok(found) => addresses.extend(found),
            Err(error) => {
                let deployment = &deployed.deployment.name;
                tracing::warn!(deployment, %error, "{url} can't be resolved; the known addresses stay in use");
                return;
            }
        }
    }
    let known: BTreeSet<_> = deployed.endpoints.load().iter().map(|endpoint| endpoint.url.to_string()).collect();
    if !addresses.is_empty() && addresses != known {
        tracing::info!(
            deployment = deployed.deployment.name,
            addresses = addresses.len(),
            "the addresses have changed"
        );
        let urls: Vec<_> = addresses.iter().filter_map(|address| Url::parse(address).ok()).collect();
        // The first look finds what was always there: nothing has just started.
        let is_first = known.iter().all(|url| deployed.deployment.urls.iter().any(|name| name.as_str() == url));
        deployed.take(&urls, (!is_first).then(Instant::now));
    }
}

/// The URL with each of its host's addresses in place of the name.
async fn lookup(url: &Url) -> std::io::Result<Vec<String>> {
    let port = url.port_or_known_default().unwrap_or(80);
    let found = timeout(PATIENCE, tokio::net::lookup_host((url.host_str().unwrap_or_default(), port))).await??;
    let put = |address: std::net::SocketAddr| {
        let mut url = url.clone();
        url.set_ip_host(address.ip()).ok()?;
        Some(url.to_string())
    };
    Ok(found.filter_map(put).collect())
}

async fn scrape(client: &UpstreamClient, endpoint: &Endpoint) {
    let page = get(client, endpoint, "/metrics", &HeaderMap::new()).await;
    let text =
        page.filter(|(status, _)| status.is_success()).and_then(|(_, body)| String::from_utf8(body.to_vec()).ok());
    endpoint.saw(text.map(|text| metrics::read(&text)), Instant::now());
}

/// Gives no work to an endpoint that says it is dead or does not list the model. One that is only slow to say so is neither.
async fn examine(client: &UpstreamClient, deployed: &Deployed, endpoint: &Endpoint) {
    let mut headers = HeaderMap::new();
    if deployed.provider.authorize(&mut headers).await.is_err() {
        return;
    }
    let begun = Instant::now();
    let (deployment, model) = (&deployed.deployment.name, &deployed.deployment.upstream_model);
    let health = ask_health(client, endpoint, model, &headers).await;
    endpoint.saw_health(health, Instant::now());
    match health {
        Health::Alive | Health::Silent => return,
        Health::Dead => tracing::warn!(deployment, endpoint = endpoint.name, "a model server says it is dead"),
        Health::LacksModel => {
            tracing::error!(deployment, endpoint = endpoint.name, model, "a model server lacks the model");
        }
    }
    endpoint.breaker.rest(begun + REST);
}

/// Whether the server lives and lists `model`. One page that is missing says nothing.
async fn ask_health(client: &UpstreamClient, endpoint: &Endpoint, model: &str, headers: &HeaderMap) -> Health {
    let health = get(client, endpoint, "/health", headers).await.map(|(status, _)| status);
    if health == Some(StatusCode::SERVICE_UNAVAILABLE) {
        return Health::Dead;
    }
    let listed = get(client, endpoint, "/v1/models", headers).await;
    match &listed {
        Some((status, body)) if status.is_success() && !lists(body, model) => Health::LacksModel,
        None if health.is_none() => Health::Silent,
        _ => Health::Alive,
    }
}

/// Whether a list of models has `model`. What can't be read is no list, and says nothing.
fn lists(body: &[u8], model: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<Listed>,
    }
    #[derive(serde::Deserialize)]
    struct Listed {
        id: String,
    }
    serde_json::from_slice::<List>(body).map_or(true, |list| list.data.iter().any(|listed| listed.id == model))
}

/// A page at the root of the endpoint's server.
async fn get(
    client: &UpstreamClient,
    endpoint: &Endpoint,
    path: &str,
    headers: &HeaderMap,
) -> Option<(StatusCode, Bytes)> {
    let address = endpoint.url.join(path).ok()?;
    let mut request = Request::get(address.as_str()).body(Full::default()).ok()?;
    *request.headers_mut() = headers.clone();
    let read = async {
        let response = client.send(request, CONNECT).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_PAGE_BYTES).collect().await.ok()?;
        Some((status, body.to_bytes()))
    };
    timeout(PATIENCE, read).await.ok().flatten()
}

/// Tells how many endpoints of a deployment are in which condition; addresses come and go, and are no labels.
fn count(deployed: &Arc<Deployed>, gauge: &Gauge<u64>) {
    let now = Instant::now();
    let mut conditions = BTreeMap::from([("closed", 0), ("open", 0), ("half_open", 0)]);
    for endpoint in deployed.endpoints.load().iter() {
        *conditions.entry(endpoint.breaker.condition(now).as_str()).or_default() += 1;
    }
    for (condition, count) in conditions {
        let deployment = KeyValue::new("tandem.deployment", deployed.deployment.name.clone());
        gauge.record(count, &[deployment, KeyValue::new("breaker", condition)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_stands_for_its_addresses() {
        let urls = lookup(&Url::parse("http://localhost:8000/v1").unwrap()).await.unwrap();

        assert!(urls.contains(&"http://127.0.0.1:8000/v1".to_owned()), "{urls:?}");
    }

    #[test]
    fn only_a_list_without_the_model_lacks_it() {
        let list = br#"{"data":[{"id":"a"},{"id":"b"}]}"#;

        assert_eq!([lists(list, "b"), lists(list, "c"), lists(b"<html>", "c")], [true, false, true]);
    }
}
