//! The catalog as it is used: immutable routes that requests read without a lock, holding the live state of deployments and
//! endpoints, which outlives a change of the catalog.

use crate::{
    Dialect, ListPrice, ModelInfo,
    catalog::{Catalog, Deployment, Discovery, Model},
    endpoint::Endpoint,
    gate::{Gate, GateLimits},
    instruments::Labels,
    policy::EndpointView,
    provider::{self, Credentials, Provider},
    quantile::Recent,
    retry::Budget,
    speech::Speech,
};
use arc_swap::ArcSwap;
use domain::{Money, Usage};
use foldhash::HashMap;
use std::sync::{Arc, atomic::AtomicUsize};
use tokio::time::Instant;
use url::Url;

/// Extra tries for each request.
const RETRY_SHARE: f64 = 0.1;

/// Every route, by the names callers use.
#[derive(Debug, Default)]
pub(crate) struct Table {
    routes: HashMap<String, Arc<Route>>,
    pub(crate) infos: Vec<ModelInfo>,
}

/// A model and who serves it.
#[derive(Debug)]
pub(crate) struct Route {
    /// The model's name, which every answer shares.
    pub(crate) name: Arc<str>,
    pub(crate) model: Model,
    pub(crate) deployments: Vec<Arc<Deployed>>,
    /// Counts requests.
    pub(crate) turn: AtomicUsize,
    pub(crate) retries: Budget,
    pub(crate) hedges: Budget,
    /// How long first tokens took lately.
    pub(crate) first_tokens: Recent,
}

/// A deployment in use.
#[derive(Debug)]
pub(crate) struct Deployed {
    /// The deployment's name, which every answer shares.
    pub(crate) name: Arc<str>,
    pub(crate) deployment: Deployment,
    pub(crate) provider: Box<dyn Provider>,
    pub(crate) gate: Gate,
    pub(crate) endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    labels: Vec<(&'static str, Labels)>,
}

/// One endpoint that may be asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) speech: Speech,
    pub(crate) view: EndpointView,
}

impl Table {
    /// The table of `catalog`; what it shares with `old` keeps its live state.
    pub(crate) fn new(catalog: Catalog, old: &Self, credentials: &Credentials) -> Self {
        let mut table = Self { infos: infos(&catalog.models), ..Self::default() };
        for model in catalog.models {
            let before = old.routes.get(&model.name).filter(|route| route.model.name == model.name);
            let route = Arc::new(Route::new(model, before.map(Arc::as_ref), credentials));
            for name in std::iter::once(&route.model.name).chain(&route.model.aliases) {
                table.routes.insert(name.clone(), route.clone());
            }
        }
        table
    }

    pub(crate) fn route(&self, model: &str) -> Option<&Arc<Route>> {
        self.routes.get(model)
    }

    /// Each route once.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter().filter(|(name, route)| **name == route.model.name).map(|(_, route)| route)
    }

    /// The model itself, then those that stand in for it.
    pub(crate) fn chain(&self, route: &Arc<Route>) -> Vec<Arc<Route>> {
        let others = route.model.fallbacks.iter().filter_map(|name| self.route(name));
        std::iter::once(route).chain(others).cloned().collect()
    }
}

fn infos(models: &[Model]) -> Vec<ModelInfo> {
    let infos = models.iter().flat_map(|model| {
        let price = price(models, model);
        std::iter::once(&model.name).chain(&model.aliases).map(move |name| ModelInfo {
            id: name.clone(),
            alias_of: (*name != model.name).then(|| model.name.clone()),
            owned_by: model.owned_by.clone(),
            created: model.created,
            max_model_len: model.max_model_len,
            price,
            expected_output_tokens: model.expected_output_tokens,
        })
    });
    infos.collect()
}

/// The most that a request to `model` may cost, whoever answers it.
fn price(models: &[Model], model: &Model) -> Option<ListPrice> {
    let named = |name: &&String| models.iter().find(|other| other.name == **name || other.aliases.contains(*name));
    let standins = model.fallbacks.iter().filter_map(|name| named(&name));
    let deployments = std::iter::once(model).chain(standins).flat_map(|model| &model.deployments);
    deployments
        .map(|deployment| deployment.prices.most())
        .try_fold(ListPrice::default(), |most, price| Some(most.max(price?)))
}

impl Route {
    fn new(mut model: Model, before: Option<&Self>, credentials: &Credentials) -> Self {
        let deployments = std::mem::take(&mut model.deployments);
        let deployed = |deployment: Deployment| {
            let same = |old: &&Arc<Deployed>| old.deployment.name == deployment.name;
            let old = before.and_then(|before| before.deployments.iter().find(same));
            Arc::new(Deployed::new(&model.name, deployment, old.map(Arc::as_ref), credentials))
        };
        let hedge_share = model.hedging.map_or(0.0, |hedging| hedging.max_percent / 100.0);
        Self {
            name: model.name.as_str().into(),
            deployments: deployments.into_iter().map(deployed).collect(),
            turn: AtomicUsize::new(0),
            retries: Budget::new(RETRY_SHARE),
            hedges: Budget::strict(hedge_share),
            first_tokens: Recent::default(),
            model,
        }
    }

    /// Who may be asked for a request of `dialect`, in the order of the catalog.
    pub(crate) fn candidates(&self, dialect: Dialect, expected: &Usage, now: Instant) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(self.deployments.len());
        for deployed in &self.deployments {
            let Some(speech) = Speech::choose(&deployed.deployment, dialect) else { continue };
            let cost = deployed.deployment.prices.cost(expected);
            let endpoints = deployed.endpoints.load();
            for endpoint in endpoints.iter() {
                let view = deployed.view(endpoint, cost, endpoints.len(), now);
                candidates.push(Candidate { deployed: deployed.clone(), endpoint: endpoint.clone(), speech, view });
            }
        }
        candidates
    }
}

impl Deployed {
    fn new(model: &str, deployment: Deployment, old: Option<&Self>, credentials: &Credentials) -> Self {
        let limits = deployment.max_concurrency.map(|max_concurrency| GateLimits {
            max_concurrency,
            max_queue: deployment.max_queue,
            max_wait: deployment.max_wait,
        });
        let same_gate = old.filter(|old| old.gate.limits() == limits);
        let provider = provider::open(&deployment, credentials);
        let labels = Dialect::ALL
            .map(Dialect::otel_operation)
            .map(|operation| (operation, Labels::new(operation, provider.otel_name(), model, &deployment.name)));
        let deployed = Self {
            name: deployment.name.as_str().into(),
            provider,
            labels: labels.into(),
            gate: same_gate.map_or_else(|| Gate::new(limits), |old| old.gate.clone()),
            endpoints: ArcSwap::from_pointee(Vec::new()),
            deployment,
        };
        let same_names = old.filter(|old| {
            deployed.deployment.discovery == Discovery::Dns
                && old.deployment.discovery == Discovery::Dns
                && old.deployment.urls == deployed.deployment.urls
        });
        match same_names {
            // What was found out about the name still holds.
            Some(old) => deployed.endpoints.store(old.endpoints.load_full()),
            None => {
                let known = old.map(|old| old.endpoints.load_full()).unwrap_or_default();
                deployed.endpoints.store(Arc::new(keep_known(
                    &deployed.deployment.urls,
                    &known,
                    old.map(|_| Instant::now()),
                )));
            }
        }
        deployed
    }

    /// The labels of calls in `dialect`.
    pub(crate) fn labels(&self, dialect: Dialect) -> Labels {
        let operation = dialect.otel_operation();
        let found = self.labels.iter().find(|(known, _)| *known == operation);
        found.map(|(_, labels)| labels.clone()).expect("every dialect's operation has its labels")
    }

    /// Takes these addresses into use: known ones keep their state, new ones are ramped up, others get no new work.
    pub(crate) fn take(&self, urls: &[Url], since: Option<Instant>) {
        let known = self.endpoints.load_full();
        self.endpoints.store(Arc::new(keep_known(urls, &known, since)));
    }

    fn view(&self, endpoint: &Endpoint, cost: Option<Money>, endpoints: usize, now: Instant) -> EndpointView {
        let view = endpoint.view(now, self.deployment.ramp);
        let capacity = self.deployment.max_concurrency.map_or(view.capacity, |limit| limit as f64 / endpoints as f64);
        EndpointView {
            priority: self.deployment.priority,
            weight: self.deployment.weight as f64 / endpoints as f64,
            capacity,
            cost,
            ..view
        }
    }
}

fn keep_known(urls: &[Url], known: &[Arc<Endpoint>], since: Option<Instant>) -> Vec<Arc<Endpoint>> {
    let one = |url: &Url| {
        let old = known.iter().find(|endpoint| endpoint.url == *url);
        old.cloned().unwrap_or_else(|| Arc::new(Endpoint::new(url.clone(), since)))
    };
    urls.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, old: &Table) -> Table {
        Table::new(Catalog::parse(text).unwrap(), old, &Credentials::default())
    }

    fn one(urls: &str) -> String {
        format!("[[model]]\nname='m'\naliases=['a']\n[[model.deployment]]\nname='d'\nurls=[{urls}]\n")
    }

    #[test]
    fn an_endpoint_that_stays_keeps_its_state_over_a_change_of_the_catalog() {
        let old = table(&one("'http://h1/v1','http://h2/v1'"), &Table::default());
        let kept = old.route("m").unwrap().deployments[0].endpoints.load()[1].clone();

        let new = table(&one("'http://h2/v1','http://h3/v1'"), &old);

        let endpoints = new.route("m").unwrap().deployments[0].endpoints.load_full();
        assert!(Arc::ptr_eq(&endpoints[0], &kept));
        assert_eq!(endpoints[1].name, "h3:80");
    }

    #[test]
    fn an_alias_is_the_same_route_and_listed() {
        let table = table(&one("'http://h1/v1'"), &Table::default());

        assert!(Arc::ptr_eq(table.route("a").unwrap(), table.route("m").unwrap()));
        assert_eq!(table.routes().count(), 1);
        assert_eq!(table.infos.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["m", "a"]);
    }

    #[test]
    fn who_cannot_do_it_is_no_candidate() {
        let table = table(
            "[[model]]\nname='m'\n[[model.deployment]]\nname='a'\nprovider='anthropic'\n\
             [[model.deployment]]\nname='o'\nurl='http://h/v1'\n",
            &Table::default(),
        );
        let names = |dialect| {
            let candidates = table.route("m").unwrap().candidates(dialect, &Usage::default(), Instant::now());
            candidates.iter().map(|candidate| candidate.deployed.deployment.name.clone()).collect::<Vec<_>>()
        };

        assert_eq!(names(Dialect::Chat), ["a", "o"]);
        assert_eq!(names(Dialect::Embeddings), ["o"]);
        assert_eq!(names(Dialect::CountTokens), ["a"]);
    }
}
