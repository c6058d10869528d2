//! A `[[model.deployment]]` of the catalog: one provider's way to serve a model, its addresses, price and limits.

use super::reader::Fields;
use crate::ListPrice;
use domain::{Money, Usage};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// One way to get a model served.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// Whose API it is.
    pub provider: Provider,
    /// The addresses below which `/chat/completions` is, as `http://host:8000/v1`; for Anthropic and Vertex the host.
    pub urls: Vec<Url>,
    /// Whether an address stands for itself or for all addresses its name has.
    pub discovery: Discovery,
    /// The server behind the addresses.
    pub engine: Engine,
    /// The dialects it speaks by itself; others are translated.
    pub apis: Vec<Api>,
    /// What the server calls the model.
    pub upstream_model: String,
    /// The key for the provider.
    pub api_key: Option<SecretString>,
    /// Lower ones are tried first.
    pub priority: i64,
    /// The share of requests among equals.
    pub weight: u64,
    /// The server's scheduler knows priorities: batch requests are marked.
    pub priority_scheduling: bool,
    /// Batch requests only use what interactive ones leave; otherwise both are the same to it.
    pub batch_yields: bool,
    /// How many calls may run at once; none = no limit.
    pub max_concurrency: Option<usize>,
    /// How many calls may wait for one of these to end.
    pub max_queue: usize,
    /// How long they may wait.
    pub max_wait: Duration,
    /// A new endpoint gets its full share only after this.
    pub ramp: Duration,
    /// What a million tokens cost.
    pub prices: Prices,
    /// What is changed in each request.
    pub rewrite: Rewrite,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// Whose API a deployment has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI's, wherever: OpenAI, vLLM, llama.cpp, TGI, Ollama.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
    /// Vertex AI.
    Vertex(Vertex),
}

impl Provider {
    /// Its name in the catalog.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Vertex(_) => "vertex",
        }
    }
}

/// A model on Vertex AI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// The Google Cloud project.
    pub project: String,
    /// The region, or `global`.
    pub location: String,
    /// Whose model it is.
    pub publisher: Publisher,
    /// How it is asked.
    pub api: VertexApi,
}

/// Whose model on Vertex AI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publisher {
    /// Gemini.
    Google,
    /// Claude.
    Anthropic,
    /// A model deployed to an endpoint of the project, by its id.
    Endpoint(String),
}

/// How Gemini is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VertexApi {
    /// By `generateContent`.
    #[default]
    Native,
    /// By the OpenAI-compatible endpoint.
    OpenAi,
}

/// A dialect a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `/chat/completions`
    Chat,
    /// `/completions`
    Completions,
    /// `/embeddings`
    Embeddings,
    /// `/responses`
    Responses,
    /// `/messages`
    Messages,
}

impl Api {
    const ALL: [Self; 5] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages];

    /// Its name in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }
}

/// How addresses are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Discovery {
    /// Each URL is one endpoint.
    #[default]
    Static,
    /// Each address (A and AAAA record) of a URL's host is one endpoint: a headless Service.
    Dns,
}

/// The server behind an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// Nothing is known but its API.
    #[default]
    Unknown,
    /// vLLM, with `/metrics`, `/health` and its extra parameters.
    Vllm,
}

impl Engine {
    /// Its name in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Vllm => "vllm",
        }
    }
}

/// What a million tokens cost; absent = not known, which is not free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    /// Prompt tokens.
    pub input: Option<Money>,
    /// Prompt tokens read from the provider's cache; absent = as `input`.
    pub cached_input: Option<Money>,
    /// Prompt tokens written to the provider's cache; absent = as `input`.
    pub cache_write: Option<Money>,
    /// Generated tokens.
    pub output: Option<Money>,
}

impl Prices {
    /// The most that tokens cost; `None` when a price is not known.
    #[must_use]
    pub fn most(&self) -> Option<ListPrice> {
        let input = [self.cached_input, self.cache_write].into_iter().flatten().fold(self.input?, Money::max);
        Some(ListPrice { input, output: self.output? })
    }

    /// What `usage` costs; `None` when a price that it needs is not known.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<Money> {
        let fresh = usage.input.saturating_sub(usage.cached + usage.cache_write);
        let parts = [
            (fresh, self.input),
            (usage.cached, self.cached_input.or(self.input)),
            (usage.cache_write, self.cache_write.or(self.input)),
            (usage.output, self.output),
        ];
        parts
            .into_iter()
            .filter(|(tokens, _)| *tokens > 0)
            .map(|(tokens, price)| price.map(|price| price.per_million(tokens)))
            .sum()
    }
}

/// What is changed in each request to a deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewrite {
    /// The most tokens that may be asked for; asked or not, this is the cap.
    pub max_tokens: Option<u64>,
    /// Fields that are set, whatever the caller wrote.
    pub add: serde_json::Map<String, serde_json::Value>,
    /// Fields that are taken out.
    pub drop: Vec<String>,
}

impl Rewrite {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.max_tokens.is_none() && self.add.is_empty() && self.drop.is_empty()
    }
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// For the first content of a stream.
    pub first_token: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(3600),
        }
    }
}

impl Default for Deployment {
    /// A deployment without address: for tests and discovery to fill.
    fn default() -> Self {
        Self {
            name: String::new(),
            provider: Provider::OpenAi,
            urls: Vec::new(),
            discovery: Discovery::default(),
            engine: Engine::default(),
            apis: OPENAI_APIS.to_vec(),
            upstream_model: String::new(),
            api_key: None,
            priority: 0,
            weight: 1,
            priority_scheduling: false,
            batch_yields: true,
            max_concurrency: None,
            max_queue: 100,
            max_wait: Duration::from_secs(30),
            ramp: Duration::from_secs(30),
            prices: Prices::default(),
            rewrite: Rewrite::default(),
            timeouts: Timeouts::default(),
        }
    }
}

const OPENAI_APIS: [Api; 3] = [Api::Chat, Api::Completions, Api::Embeddings];

pub(super) fn read(at: &str, table: toml::Table, model: &str, mistakes: &mut Vec<String>) -> Deployment {
    let mut fields = Fields::new(at, table, mistakes);
    let provider = provider(&mut fields);
    let defaults = Deployment::default();
    let deployment = Deployment {
        name: fields.required_text("name"),
        urls: urls(&mut fields, &provider),
        discovery: fields
            .choice("discovery", &[("static", Discovery::Static), ("dns", Discovery::Dns)])
            .unwrap_or_default(),
        engine: fields
            .choice("engine", &[Engine::Unknown, Engine::Vllm].map(|engine| (engine.as_str(), engine)))
            .unwrap_or_default(),
        apis: fields.choices("apis", &Api::ALL.map(|api| (api.as_str(), api))).unwrap_or_else(|| apis_of(&provider)),
        upstream_model: fields.text("upstream_model").unwrap_or_else(|| model.to_owned()),
        api_key: fields.api_key(),
        priority: fields.number("priority").unwrap_or(0),
        weight: fields.count("weight").unwrap_or(1),
        priority_scheduling: fields.flag("priority_scheduling").unwrap_or(false),
        batch_yields: fields.flag("batch_yields").unwrap_or(true),
        max_concurrency: fields.count("max_concurrency").and_then(|count| usize::try_from(count).ok()),
        max_queue: fields.count_or_none("max_queue").unwrap_or(defaults.max_queue),
        max_wait: fields.millis("max_wait_ms").unwrap_or(defaults.max_wait),
        ramp: fields.millis("ramp_ms").unwrap_or(defaults.ramp),
        prices: Prices {
            input: fields.price("input_usd_per_million"),
            cached_input: fields.price("cached_input_usd_per_million"),
            cache_write: fields.price("cache_write_usd_per_million"),
            output: fields.price("output_usd_per_million"),
        },
        rewrite: Rewrite {
            max_tokens: fields.count("cap_max_tokens"),
            add: fields.json_object("add_fields"),
            drop: fields.texts("drop_fields"),
        },
        timeouts: timeouts(&mut fields),
        provider,
    };
    fields.finish();
    deployment
}

fn timeouts(fields: &mut Fields<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    Timeouts {
        connect: fields.millis("connect_ms").unwrap_or(defaults.connect),
        first_token: fields.millis("first_token_ms").unwrap_or(defaults.first_token),
        idle: fields.millis("idle_ms").unwrap_or(defaults.idle),
        total: fields.millis("total_ms").unwrap_or(defaults.total),
    }
}

fn provider(fields: &mut Fields<'_>) -> Provider {
    let names = [("openai", 0), ("anthropic", 1), ("vertex", 2)];
    match fields.choice("provider", &names).unwrap_or(0) {
        0 => Provider::OpenAi,
        1 => Provider::Anthropic,
        _ => Provider::Vertex(vertex(fields)),
    }
}

fn vertex(fields: &mut Fields<'_>) -> Vertex {
    let publisher = fields.choice("publisher", &[("google", Publisher::Google), ("anthropic", Publisher::Anthropic)]);
    let endpoint = fields.text("endpoint").map(Publisher::Endpoint);
    if publisher.is_some() && endpoint.is_some() {
        fields.wrong("has both `publisher` and `endpoint`");
    }
    Vertex {
        project: fields.required_text("project"),
        location: fields.required_text("location"),
        publisher: endpoint.or(publisher).unwrap_or(Publisher::Google),
        api: fields
            .choice("vertex_api", &[("native", VertexApi::Native), ("openai", VertexApi::OpenAi)])
            .unwrap_or_default(),
    }
}

fn urls(fields: &mut Fields<'_>, provider: &Provider) -> Vec<Url> {
    let default = match provider {
        Provider::OpenAi => None,
        Provider::Anthropic => Some("https://api.anthropic.com/v1".to_owned()),
        Provider::Vertex(vertex) => Some(format!("https://{}/", vertex_host(&vertex.location))),
    };
    fields.urls(default.as_deref())
}

/// The host of a location, as Google's documentation names them.
fn vertex_host(location: &str) -> String {
    match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}

fn apis_of(provider: &Provider) -> Vec<Api> {
    match provider {
        Provider::OpenAi => OPENAI_APIS.to_vec(),
        Provider::Anthropic | Provider::Vertex(Vertex { publisher: Publisher::Anthropic, .. }) => vec![Api::Messages],
        Provider::Vertex(Vertex { publisher: Publisher::Google, api: VertexApi::Native, .. }) => Vec::new(),
        Provider::Vertex(_) => vec![Api::Chat],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_from_a_cache_have_their_own_price() {
        let usd = |nanos| Some(Money::from_nanos(nanos));
        let prices =
            Prices { input: usd(4_000_000), cached_input: usd(1_000_000), cache_write: None, output: usd(8_000_000) };

        let cost = prices.cost(&Usage { input: 100, cached: 60, output: 10, ..Usage::default() });

        assert_eq!(cost, usd(40 * 4 + 60 + 80));
    }

    #[test]
    fn an_unknown_price_is_not_free() {
        let prices = Prices { input: Some(Money::ZERO), ..Prices::default() };

        assert_eq!(prices.cost(&Usage { input: 1, output: 1, ..Usage::default() }), None);
        assert_eq!(prices.cost(&Usage { input: 1, ..Usage::default() }), Some(Money::ZERO));
    }

    #[test]
    fn a_location_has_its_host() {
        let hosts = ["global", "eu", "us-central1"].map(vertex_host);

        assert_eq!(
            hosts,
            ["aiplatform.googleapis.com", "aiplatform.eu.rep.googleapis.com", "us-central1-aiplatform.googleapis.com"]
        );
    }
}
