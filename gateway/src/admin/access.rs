//! Who may use the admin API, and in whose name its changes are recorded.

use axum::{extract::FromRequestParts, response::Response};
use chassis::http::ApiError;
use domain::{Caller, Error, Kind, ModelAccess, RequestContext, Result, Scopes};
use http::{HeaderValue, header::CACHE_CONTROL, request::Parts};
use std::sync::Arc;
use store::Author;

/// What operators read is kept by nobody on the way.
pub(crate) async fn kept_by_nobody(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Refuses to hand out more than the caller has: else every admin key would be worth as much as the widest.
pub(super) fn require_within(caller: &Caller, scopes: Scopes, models: &ModelAccess) -> Result<()> {
    let refuse = |param: &str, what: &str| {
        let text = format!("A key can't be given {what} than the credentials that give them.");
        Err(Error::new(Kind::PermissionDenied, text).with_param(param).with_code("wider_than_caller"))
    };
    if !scopes.is_within(caller.scopes) {
        return refuse("scopes", "more scopes");
    }
    if !models.is_within(&caller.models) {
        return refuse("models", "more models");
    }
    Ok(())
}

/// Who makes a change.
pub(crate) struct By {
    pub(crate) caller: Arc<Caller>,
    pub(crate) author: Author,
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned();
        let caller = caller.ok_or_else(|| Error::internal("an admin route was reached without a caller"))?;
        let request_id = parts.extensions.get::<RequestContext>().map(|context| context.request_id.clone());
        let author = Author { actor: caller.name().to_owned(), request_id };
        Ok(Self { caller, author })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Scope, TenantId};

    fn caller(scopes: Scopes, models: ModelAccess) -> Caller {
        Caller { tenant: TenantId::generate(), key: None, principal: Some("iam:ann".to_owned()), scopes, models }
    }

    fn only(name: &str) -> ModelAccess {
        ModelAccess::Only([name.to_owned()].into())
    }

    #[test]
    fn nobody_hands_out_more_than_they_have() {
        let narrow = caller(Scopes::default().with(Scope::Admin), only("a"));

        assert!(require_within(&narrow, Scopes::default(), &only("a")).is_ok());
        for (scopes, models, param) in [
            (Scopes::USER, only("a"), "scopes"),
            (Scopes::default(), only("b"), "models"),
            (Scopes::default(), ModelAccess::All, "models"),
        ] {
            assert_eq!(require_within(&narrow, scopes, &models).unwrap_err().param(), Some(param));
        }
    }
}
