//! The body of every error answer. All four keys are always there, as clients of the OpenAI API expect.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `{"error": {…}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorObject,
}

/// The four keys of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorObject {
    /// For people.
    pub message: String,
    /// The family of the error, as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The parameter that is wrong, if one is.
    pub param: Option<String>,
    /// For programs.
    pub code: Option<String>,
}

impl ErrorBody {
    /// The body as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_are_null_and_not_missing() {
        let error = ErrorObject { message: "m".into(), kind: "t".into(), param: None, code: None };

        let json = ErrorBody { error }.to_json();

        assert_eq!(json, r#"{"error":{"message":"m","type":"t","param":null,"code":null}}"#);
    }
}
