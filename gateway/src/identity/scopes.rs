//! What a caller may not do, and how it is told so.

use domain::{Caller, Error, Kind, ModelAccess, Result, Scope};
use store::FileIndex;

/// # Errors
/// `PermissionDenied` that names the scope that is missing and those that are there.
pub(super) fn require(caller: &Caller, scope: Scope) -> Result<()> {
    if caller.scopes.contains(scope) {
        return Ok(());
    }
    let (missing, scopes) = (scope.as_str(), caller.scopes.to_string());
    let has = if scopes.is_empty() { "none".to_owned() } else { format!("`{scopes}`") };
    let text = format!("This call needs the scope `{missing}`; the scopes of your credential: {has}.");
    Err(Error::new(Kind::PermissionDenied, text).with_code("missing_scope"))
}

/// # Errors
/// The same 404 as for a model that does not exist: who may not ask a model does not learn of it.
pub(crate) fn require_model(caller: &Caller, model: &str) -> Result<()> {
    if caller.models.allows(model) { Ok(()) } else { Err(no_such_model(model)) }
}

/// Judges the models that the lines of a batch input name.
///
/// # Errors
/// The first one that may not be asked, with its first line. A file with so many models that not all are on record is
/// refused to callers who may not ask every model.
pub(crate) fn require_models(caller: &Caller, index: &FileIndex) -> Result<()> {
    if caller.models == ModelAccess::All {
        return Ok(());
    }
    match index.models.iter().find(|tally| !caller.models.allows(&tally.value)) {
        None => Ok(()),
        Some(tally) => {
            let line = tally.first_lines.first().copied().unwrap_or_default();
            let text = format!(
                "The model `{}` of line {line} of the input file does not exist or you do not have access to it.",
                tally.value
            );
            Err(Error::not_found(text).with_code("model_not_found").with_param("input_file_id"))
        }
    }
}

/// A 404 in OpenAI's words.
pub(crate) fn no_such_model(model: &str) -> Error {
    let shown: String = model.chars().take(200).collect();
    Error::not_found(format!("The model `{shown}` does not exist or you do not have access to it."))
        .with_code("model_not_found")
        .with_param("model")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Scopes, TenantId};
    use std::collections::BTreeSet;
    use store::Tally;

    fn caller(models: ModelAccess) -> Caller {
        let scopes = Scopes::default().with(Scope::Files).with(Scope::Inference);
        Caller { tenant: TenantId::generate(), key: None, principal: None, scopes, models }
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_what_is_there() {
        let error = require(&caller(ModelAccess::All), Scope::Batches).unwrap_err();

        assert_eq!((error.kind(), error.code()), (Kind::PermissionDenied, Some("missing_scope")));
        assert!(error.to_string().contains("`batches`") && error.to_string().contains("`inference files`"), "{error}");
    }

    #[test]
    fn a_file_may_name_allowed_models_only() {
        let of = |models: &[&str]| FileIndex {
            models: models
                .iter()
                .map(|model| Tally { value: (*model).to_owned(), count: 1, first_lines: vec![7] })
                .collect(),
            ..FileIndex::default()
        };
        let narrow = caller(ModelAccess::Only(BTreeSet::from(["a".to_owned()])));

        assert!(require_models(&narrow, &of(&["a"])).is_ok());
        let error = require_models(&narrow, &of(&["a", "(others)"])).unwrap_err();
        assert!(error.to_string().contains("line 7"), "{error}");
        assert!(require_models(&caller(ModelAccess::All), &of(&["b", "(others)"])).is_ok());
    }
}
