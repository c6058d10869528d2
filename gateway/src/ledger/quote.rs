//! What a request may use, before it is made: tokens as a guess, cost as an upper bound.

use arc_swap::ArcSwapOption;
use domain::Result;
use foldhash::HashMap;
use orchestrator::{Dialect, ListPrice, ModelBackend, ModelInfo, ModelRequest};
use std::sync::Arc;

/// Tokens of a chat template around the text of a request.
const TEMPLATE_TOKENS: u64 = 64;

/// The price of each model, as of the last reading.
#[derive(Default)]
pub(crate) struct Prices {
    models: ArcSwapOption<HashMap<String, ModelInfo>>,
}

/// What a request may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quote {
    /// The model's own name, where it was asked by another: limits know that one.
    pub(crate) alias_of: Option<String>,
    /// In and out, for limits by the minute.
    pub(crate) tokens: i64,
    /// The most that it may cost in nano-USD, if the answer keeps to `max_tokens`; none = the price is not known.
    pub(crate) cost: Option<i64>,
    /// What a million tokens cost at most.
    pub(crate) price: Option<ListPrice>,
}

impl Prices {
    /// Reads the models again.
    ///
    /// # Errors
    /// When they can't be read now. The last known prices stay in force.
    pub(crate) async fn refresh(&self, backend: &dyn ModelBackend) -> Result<()> {
        let models = backend.models().await?.into_iter().map(|model| (model.id.clone(), model)).collect();
        self.models.store(Some(Arc::new(models)));
        Ok(())
    }

    /// What `request` may use.
    ///
    /// # Errors
    /// When the models were never read and can't be now.
    pub(crate) async fn quote(&self, request: &ModelRequest, backend: &dyn ModelBackend) -> Result<Quote> {
        self.read_once(backend).await?;
        let models = self.models.load();
        // Nobody serves a model that is not there: the refusal costs nothing.
        let Some(model) = models.as_ref().and_then(|models| models.get(&request.head.model)) else {
            return Ok(Quote { cost: Some(0), ..Quote::default() });
        };
        Ok(quote(model, request))
    }

    /// What is known of a model.
    ///
    /// # Errors
    /// When the models were never read and can't be now.
    pub(crate) async fn model(&self, name: &str, backend: &dyn ModelBackend) -> Result<Option<ModelInfo>> {
        self.read_once(backend).await?;
        Ok(self.models.load().as_ref().and_then(|models| models.get(name).cloned()))
    }

    async fn read_once(&self, backend: &dyn ModelBackend) -> Result<()> {
        if self.models.load().is_some() { Ok(()) } else { self.refresh(backend).await }
    }
}

fn quote(model: &ModelInfo, request: &ModelRequest) -> Quote {
    let head = &request.head;
    let output = match request.dialect {
        Dialect::CountTokens => return Quote { cost: Some(0), price: model.price, ..Quote::default() },
        Dialect::Embeddings => 0,
        _ => {
            let each =
                head.max_tokens.unwrap_or(model.expected_output_tokens).min(model.max_model_len.unwrap_or(u64::MAX));
            each.saturating_mul(head.choices.max(1))
        }
    };
    // No token is shorter than a byte: the length of all that was sent bounds the prompt's tokens.
    let most_input = request.body.len() as u64 + TEMPLATE_TOKENS;
    let cost = model.price.map(|price| price.cost(most_input, output).nanos());
    let tokens = count(head.prompt_tokens_estimate().saturating_add(output));
    Quote { alias_of: model.alias_of.clone(), tokens, cost, price: model.price }
}

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Money;

    fn model() -> ModelInfo {
        let usd = |dollars: i64| Money::from_nanos(dollars * 1_000_000_000);
        let price = Some(ListPrice { input: usd(1), output: usd(10) });
        ModelInfo { id: "m".into(), expected_output_tokens: 100, price, ..ModelInfo::default() }
    }

    fn ask(dialect: Dialect, body: &str) -> Quote {
        quote(&model(), &ModelRequest::parse(dialect, body.to_owned().into()).unwrap())
    }

    #[test]
    fn the_cost_is_an_upper_bound() {
        let body = r#"{"model":"m","max_tokens":7,"n":2,"messages":"12345678"}"#;

        let quote = ask(Dialect::Chat, body);

        assert_eq!(quote.tokens, 3 + 14);
        assert_eq!(quote.cost, Some((body.len() as i64 + 64) * 1_000 + 14 * 10_000));
    }

    #[test]
    fn an_alias_counts_as_its_model() {
        let model = ModelInfo { id: "alias".into(), alias_of: Some("m".into()), ..model() };
        let request = ModelRequest::parse(Dialect::Chat, r#"{"model":"alias"}"#.into()).unwrap();

        assert_eq!(quote(&model, &request).alias_of.as_deref(), Some("m"));
    }

    #[test]
    fn an_answer_without_a_bound_is_expected_as_the_model_says() {
        assert_eq!(ask(Dialect::Chat, r#"{"model":"m"}"#).tokens, 100);
        assert_eq!(ask(Dialect::Embeddings, r#"{"model":"m","input":"1234"}"#).tokens, 2);
        assert_eq!(ask(Dialect::CountTokens, r#"{"model":"m"}"#).cost, Some(0));
    }
}
