//! What a request to a model must pass: a place among the running, a seat in the ledger, and every limit that binds its caller.

use crate::{
    app::Gateway,
    ledger::{Asked, Entry},
    limits::{Ask, Refusal},
    values::Values,
};
use axum::response::{IntoResponse, Response};
use chassis::http::ApiError;
use domain::{Error, KeyId};

/// A refusal by a limit tells more than its error: how the limits stand.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = ApiError(self.error).into_response();
        self.rates.write(&mut Values::new(), response.headers_mut());
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, rates: Default::default() }
    }
}

impl Gateway {
    /// Lets a request in, or says why not. Nothing is charged for one that is refused.
    pub(crate) async fn admit(&self, asked: &Asked<'_>) -> Result<Entry, Refusal> {
        let Asked { caller, context, request, begun } = asked;
        let patience = context.deadline.map(|deadline| deadline.saturating_duration_since(*begun));
        let place = self.overload.enter(&caller.tenant, patience).await?;
        let quote = self.prices.quote(request, &*self.backend).await?;
        let seat = self.ledger.seat().await?;
        let ask = Ask {
            key: caller.key.as_ref().map(KeyId::as_str),
            principal: caller.principal.as_deref(),
            model: quote.alias_of.as_deref().unwrap_or(&request.head.model),
            tokens: quote.tokens,
            cost: quote.cost,
        };
        let ticket = self.limits.admit(&caller.tenant, &ask).await?;
        Ok(Entry::new(self.ledger.clone(), (place, seat, ticket), &quote, asked))
    }
}
