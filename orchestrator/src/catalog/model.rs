//! A `[[model]]` of the catalog: the name callers use, and how its deployments are chosen.

use super::{
    deployment::{self, Deployment},
    reader::Fields,
};
use chrono::Utc;
use std::time::Duration;

/// A model that callers can name.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name callers use.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Who runs it, for `/v1/models`.
    pub owned_by: String,
    /// Unix seconds, for `/v1/models`.
    pub created: i64,
    /// Its context length in tokens, if known.
    pub max_model_len: Option<u64>,
    /// What an answer without `max_tokens` is expected to have at most: budgets and limits reserve so much for it.
    pub expected_output_tokens: u64,
    /// How the deployments of one priority are ordered.
    pub policy: PolicyName,
    /// Models that stand in when every deployment of this one fails, in this order.
    pub fallbacks: Vec<String>,
    /// `cost_first` leaves a deployment whose predicted time to the first token is longer than this.
    pub slo_ttft: Duration,
    /// After this a stream begins with comments, though no deployment has answered yet.
    pub commit: Duration,
    /// Ask a second deployment when the first is slow to begin.
    pub hedging: Option<Hedging>,
    /// How long an answer may be given again to the same request of the same tenant.
    pub cache_ttl: Option<Duration>,
    /// Another model that gets copies of requests; its answers are thrown away.
    pub shadow: Option<Shadow>,
    /// Who serves it.
    pub deployments: Vec<Deployment>,
}

impl Default for Model {
    /// A model without name and deployment: for tests and discovery to fill.
    fn default() -> Self {
        Self {
            name: String::new(),
            aliases: Vec::new(),
            owned_by: "tandem".into(),
            created: 0,
            max_model_len: None,
            expected_output_tokens: 4_096,
            policy: PolicyName::default(),
            fallbacks: Vec::new(),
            slo_ttft: Duration::from_secs(2),
            commit: Duration::from_secs(10),
            hedging: None,
            cache_ttl: None,
            shadow: None,
            deployments: Vec::new(),
        }
    }
}

/// How the deployments of one priority are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PolicyName {
    /// In the order of the file.
    Priority,
    /// In turns.
    RoundRobin,
    /// By chance, in proportion to their weights.
    Weighted,
    /// The better of two that are chosen by chance.
    #[default]
    LeastLoaded,
    /// The same beginning of a prompt goes to the same endpoint, unless that has too much to do.
    PrefixAffine,
    /// The cheapest whose first token is expected in time.
    CostFirst,
}

/// When a second deployment may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedging {
    /// The share of requests, in percent, that may be asked twice.
    pub max_percent: f64,
}

/// Where copies of requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// The model that gets them.
    pub model: String,
    /// The share of requests, in percent, that is copied.
    pub percent: f64,
}

const POLICIES: [(&str, PolicyName); 6] = [
    ("priority", PolicyName::Priority),
    ("round_robin", PolicyName::RoundRobin),
    ("weighted", PolicyName::Weighted),
    ("least_loaded", PolicyName::LeastLoaded),
    ("prefix_affine", PolicyName::PrefixAffine),
    ("cost_first", PolicyName::CostFirst),
];

pub(super) fn read(at: &str, table: toml::Table, mistakes: &mut Vec<String>) -> Model {
    let mut fields = Fields::new(at, table, mistakes);
    let defaults = Model::default();
    let mut model = Model {
        name: fields.required_text("name"),
        aliases: fields.texts("aliases"),
        owned_by: fields.text("owned_by").unwrap_or(defaults.owned_by),
        created: Utc::now().timestamp(),
        max_model_len: fields.count("max_model_len"),
        expected_output_tokens: fields.count("expected_output_tokens").unwrap_or(defaults.expected_output_tokens),
        policy: fields.choice("policy", &POLICIES).unwrap_or_default(),
        fallbacks: fields.texts("fallbacks"),
        slo_ttft: fields.millis("slo_ttft_ms").unwrap_or(defaults.slo_ttft),
        commit: fields.millis("commit_ms").unwrap_or(defaults.commit),
        hedging: fields.percent("hedge_percent").map(|max_percent| Hedging { max_percent }),
        cache_ttl: fields.millis("cache_ttl_ms"),
        shadow: shadow(&mut fields),
        deployments: Vec::new(),
    };
    let tables = fields.tables("deployment");
    if tables.is_empty() {
        fields.wrong("needs at least one [[model.deployment]]");
    }
    fields.finish();
    model.deployments =
        tables.into_iter().map(|(at, table)| deployment::read(&at, table, &model.name, mistakes)).collect();
    model
}

fn shadow(fields: &mut Fields<'_>) -> Option<Shadow> {
    let percent = fields.percent("shadow_percent");
    let model = fields.text("shadow_model");
    match (model, percent) {
        (Some(model), percent) => Some(Shadow { model, percent: percent.unwrap_or(100.0) }),
        (None, Some(_)) => {
            fields.wrong("`shadow_percent` needs a `shadow_model`");
            None
        }
        (None, None) => None,
    }
}
