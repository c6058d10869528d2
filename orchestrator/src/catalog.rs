//! Which models there are and who serves them, as written in `models.toml`. Every mistake is reported at once.

mod reader;

use domain::{Error, Money, Result};
use reader::Fields;
use secrecy::SecretString;
use std::{collections::BTreeSet, time::Duration};
use url::Url;

/// The models and their deployments.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// In the order of the file.
    pub models: Vec<Model>,
}

/// A model that callers can name.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name callers use.
    pub name: String,
    /// Who runs it, for `/v1/models`.
    pub owned_by: String,
    /// Unix seconds, for `/v1/models`.
    pub created: i64,
    /// Its context length in tokens, if known.
    pub max_model_len: Option<u64>,
    /// Who serves it.
    pub deployments: Vec<Deployment>,
}

/// One server that serves a model.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// The address below which `/chat/completions` is, as `http://host:8000/v1`.
    pub url: Url,
    /// What the server calls the model.
    pub upstream_model: String,
    /// What to send as bearer token.
    pub api_key: Option<SecretString>,
    /// Lower ones are tried first.
    pub priority: i64,
    /// Price of a million prompt tokens.
    pub input_price: Option<Money>,
    /// Price of a million generated tokens.
    pub output_price: Option<Money>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// For the first event of a stream.
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

impl Catalog {
    /// Reads a `models.toml`, with the keys it refers to.
    ///
    /// # Errors
    /// `InvalidRequest` that lists every mistake.
    pub fn parse(toml: &str) -> Result<Self> {
        let table: toml::Table = toml
            .parse()
            .map_err(|error: toml::de::Error| Error::invalid(format!("The model catalog is not TOML: {error}")))?;
        let mut mistakes = Vec::new();
        let mut root = Fields::new("the catalog", table, &mut mistakes);
        let tables = root.tables("model");
        root.finish();
        let catalog = Self { models: tables.into_iter().map(|(at, table)| model(&at, table, &mut mistakes)).collect() };
        catalog.check_names(&mut mistakes);
        if mistakes.is_empty() {
            return Ok(catalog);
        }
        Err(Error::invalid(format!(
            "The model catalog has {} mistake(s):\n- {}",
            mistakes.len(),
            mistakes.join("\n- ")
        )))
    }

    fn check_names(&self, mistakes: &mut Vec<String>) {
        if self.models.is_empty() {
            mistakes.push("there is no [[model]]".into());
        }
        let mut models = BTreeSet::new();
        for model in &self.models {
            if !models.insert(&model.name) {
                mistakes.push(format!("two models are named `{}`", model.name));
            }
            let mut deployments = BTreeSet::new();
            for deployment in &model.deployments {
                if !deployments.insert(&deployment.name) {
                    mistakes.push(format!("model `{}` has two deployments named `{}`", model.name, deployment.name));
                }
            }
        }
    }
}

fn model(at: &str, table: toml::Table, mistakes: &mut Vec<String>) -> Model {
    let mut fields = Fields::new(at, table, mistakes);
    let name = fields.required_text("name");
    let mut model = Model {
        owned_by: fields.text("owned_by").unwrap_or_else(|| "tandem".into()),
        created: unix_now(),
        max_model_len: fields.number("max_model_len").and_then(|number| u64::try_from(number).ok()),
        deployments: Vec::new(),
        name,
    };
    let tables = fields.tables("deployment");
    if tables.is_empty() {
        fields.wrong("needs at least one [[model.deployment]]");
    }
    fields.finish();
    model.deployments = tables.into_iter().map(|(at, table)| deployment(&at, table, &model.name, mistakes)).collect();
    model
}

fn deployment(at: &str, table: toml::Table, model: &str, mistakes: &mut Vec<String>) -> Deployment {
    let mut fields = Fields::new(at, table, mistakes);
    let defaults = Timeouts::default();
    let deployment = Deployment {
        name: fields.required_text("name"),
        url: fields.url("url"),
        upstream_model: fields.text("upstream_model").unwrap_or_else(|| model.to_owned()),
        api_key: fields.api_key(),
        priority: fields.number("priority").unwrap_or(0),
        input_price: fields.price("input_usd_per_million"),
        output_price: fields.price("output_usd_per_million"),
        timeouts: Timeouts {
            connect: fields.millis("connect_ms").unwrap_or(defaults.connect),
            first_token: fields.millis("first_token_ms").unwrap_or(defaults.first_token),
            idle: fields.millis("idle_ms").unwrap_or(defaults.idle),
            total: fields.millis("total_ms").unwrap_or(defaults.total),
        },
    };
    fields.finish();
    deployment
}

fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_read_with_its_defaults() {
        let catalog = Catalog::parse(
            "[[model]]\nname='m'\n[[model.deployment]]\nname='a'\nurl='http://h:8000/v1'\ninput_usd_per_million=0.25\nidle_ms=7\n",
        )
        .unwrap();

        let deployment = &catalog.models[0].deployments[0];
        assert_eq!((deployment.upstream_model.as_str(), deployment.priority), ("m", 0));
        assert_eq!(deployment.input_price, Some(Money::from_nanos(250_000_000)));
        assert_eq!(deployment.timeouts, Timeouts { idle: Duration::from_millis(7), ..Timeouts::default() });
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = Catalog::parse(
            "extra=1\n[[model]]\nname='m'\n[[model.deployment]]\nname=3\nurl='ftp://h'\nidle_ms=0\nprioritty=1\n\
             [[model]]\nname='m'\n",
        )
        .unwrap_err();

        for part in ["extra", "`name`", "ftp", "idle_ms", "prioritty", "two models", "at least one"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn what_is_not_toml_is_refused() {
        assert!(Catalog::parse("[[model").unwrap_err().message().contains("not TOML"));
        assert!(Catalog::parse("").unwrap_err().message().contains("no [[model]]"));
    }
}
