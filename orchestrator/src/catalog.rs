//! Which models there are and who serves them, as written in `models.toml`. Every mistake is reported at once.

mod deployment;
mod model;
mod reader;

pub use deployment::{
    Api, Deployment, Discovery, Engine, Prices, Provider, Publisher, Rewrite, Timeouts, Vertex, VertexApi,
};
pub use model::{Hedging, Model, PolicyName, Shadow};

use domain::{Error, Result};
use reader::Fields;
use std::collections::{BTreeMap, BTreeSet};

/// The models and their deployments.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// In the order of the file.
    pub models: Vec<Model>,
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
        let catalog =
            Self { models: tables.into_iter().map(|(at, table)| model::read(&at, table, &mut mistakes)).collect() };
        catalog.check(&mut mistakes);
        if mistakes.is_empty() {
            return Ok(catalog);
        }
        Err(Error::invalid(format!(
            "The model catalog has {} mistake(s):\n- {}",
            mistakes.len(),
            mistakes.join("\n- ")
        )))
    }

    fn check(&self, mistakes: &mut Vec<String>) {
        if self.models.is_empty() {
            mistakes.push("there is no [[model]]".into());
        }
        self.check_names(mistakes);
        let names: BTreeSet<_> = self.models.iter().map(|model| model.name.as_str()).collect();
        for model in &self.models {
            for other in model.fallbacks.iter().chain(model.shadow.as_ref().map(|shadow| &shadow.model)) {
                if other == &model.name {
                    mistakes.push(format!("model `{}`: it can't stand in for itself", model.name));
                } else if !names.contains(other.as_str()) {
                    mistakes.push(format!("model `{}`: there is no model `{other}`", model.name));
                }
            }
        }
    }

    fn check_names(&self, mistakes: &mut Vec<String>) {
        let mut taken = BTreeMap::new();
        for model in &self.models {
            for name in std::iter::once(&model.name).chain(&model.aliases) {
                if taken.insert(name, &model.name).is_some() {
                    mistakes.push(format!("two models are named `{name}`"));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Money;
    use std::time::Duration;

    #[test]
    fn a_catalog_is_read_with_its_defaults() {
        let catalog = Catalog::parse(
            "[[model]]\nname='m'\n[[model.deployment]]\nname='a'\nurl='http://h:8000/v1'\ninput_usd_per_million=0.25\nidle_ms=7\n",
        )
        .unwrap();

        let deployment = &catalog.models[0].deployments[0];
        assert_eq!((deployment.upstream_model.as_str(), deployment.priority, deployment.weight), ("m", 0, 1));
        assert_eq!(deployment.prices.input, Some(Money::from_nanos(250_000_000)));
        assert_eq!(deployment.timeouts, Timeouts { idle: Duration::from_millis(7), ..Timeouts::default() });
        assert_eq!(catalog.models[0].policy, PolicyName::LeastLoaded);
    }

    #[test]
    fn everything_that_can_be_said_is_understood() {
        let catalog = Catalog::parse(include_str!("../tests/it/fixtures/models_full.toml")).unwrap();

        let [chat, big] = &catalog.models[..] else { panic!("{catalog:?}") };
        assert_eq!(
            (&chat.aliases[..], &chat.fallbacks[..]),
            (&["gpt-4o-mini".to_owned()][..], &["big".to_owned()][..])
        );
        assert_eq!(chat.policy, PolicyName::CostFirst);
        assert_eq!(chat.shadow.as_ref().map(|shadow| shadow.percent), Some(10.0));
        assert_eq!(chat.hedging, Some(Hedging { max_percent: 5.0 }));
        assert!(matches!(chat.deployments[0].discovery, Discovery::Dns));
        assert_eq!(chat.deployments[0].rewrite.drop, ["seed"]);
        assert!(matches!(&big.deployments[0].provider, Provider::Anthropic));
        assert!(matches!(&big.deployments[1].provider, Provider::Vertex(vertex) if vertex.location == "europe-west4"));
        assert_eq!(big.deployments[1].urls[0].as_str(), "https://europe-west4-aiplatform.googleapis.com/");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = Catalog::parse(
            "extra=1\n[[model]]\nname='m'\nfallbacks=['nope']\npolicy='best'\n\
             [[model.deployment]]\nname=3\nurl='ftp://h'\nidle_ms=0\nprioritty=1\nprovider='aws'\nweight=0\n\
             [[model]]\nname='m'\n",
        )
        .unwrap_err();

        for part in [
            "extra",
            "`name`",
            "ftp",
            "idle_ms",
            "prioritty",
            "two models",
            "at least one",
            "nope",
            "best",
            "aws",
            "weight",
        ] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn what_is_not_toml_is_refused() {
        assert!(Catalog::parse("[[model").unwrap_err().message().contains("not TOML"));
        assert!(Catalog::parse("").unwrap_err().message().contains("no [[model]]"));
    }
}
