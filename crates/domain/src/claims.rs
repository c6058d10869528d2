//! What a token says of its holder, and what that entitles to by the rules of its issuer. Whether the token may be believed is
//! judged elsewhere.

mod grant;
mod rules;

pub use grant::{Grant, grant};
pub use rules::{Condition, Rule, TenantOf, Test};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The claims of a token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The claim of that name; a path that begins with `/` is a JSON pointer (RFC 6901) into what is nested.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let Some(nested) = path.strip_prefix('/') else { return self.0.get(path) };
        let (first, rest) = nested.split_once('/').map_or((nested, None), |(first, rest)| (first, Some(rest)));
        let claim = self.0.get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(claim), |rest| claim.pointer(&format!("/{rest}")))
    }

    /// The claim of that path, if it is text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// When the token ends, in milliseconds.
    #[must_use]
    pub fn ends_at_ms(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates, and the year 292 million will do")]
        let secs = self.0.get("exp").and_then(|exp| exp.as_i64().or_else(|| exp.as_f64().map(|secs| secs as i64)));
        secs.unwrap_or(0).saturating_mul(1_000)
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_a_name_or_a_pointer() {
        let json = json!({"https://a.b/org": "x", "realm": {"roles": ["admin"], "a/b": 1}, "exp": 7.9});
        let claims: Claims = serde_json::from_value(json).unwrap();

        assert_eq!(claims.text("https://a.b/org"), Some("x"));
        assert_eq!(claims.text("/https:~1~1a.b~1org"), Some("x"));
        assert_eq!(claims.text("/realm/roles/0"), Some("admin"));
        assert_eq!(claims.get("/realm/a~1b"), Some(&json!(1)));
        assert_eq!(claims.get("realm.roles"), None);
        assert_eq!(claims.ends_at_ms(), 7_000);
    }
}
