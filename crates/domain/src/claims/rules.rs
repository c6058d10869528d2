//! The rules of an issuer: for whom its tokens act, and what they may do. The first rule whose conditions all hold decides.

use crate::{ModelAccess, Scopes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Rule {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// For whom the token acts.
    pub tenant: TenantOf,
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: ModelAccess,
}

/// What must be true of one claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// A claim's name, or a JSON pointer to what is nested.
    pub claim: String,
    /// What its value must be; of a list, one element.
    pub test: Test,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// This.
    Equals(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// Text that ends so.
    EndsWith(String),
}

/// Where the name of the tenant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantOf {
    /// In the rule.
    Named(String),
    /// In this claim.
    Claim(String),
}

/// A rule as the settings have it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#match: Vec<WrittenCondition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_claim: Option<String>,
    scopes: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<BTreeSet<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_with: Option<String>,
}

impl TryFrom<Written> for Rule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.r#match.is_empty() {
            return Err(
                "a rule has at least one condition in `match`; for everybody, name a claim that all have".into()
            );
        }
        let tenant = match (written.tenant, written.tenant_claim) {
            (Some(name), None) => TenantOf::Named(name),
            (None, Some(claim)) => TenantOf::Claim(claim),
            _ => return Err("a rule has either `tenant` or `tenant_claim`".to_owned()),
        };
        let scopes = Scopes::parse(&written.scopes).map_err(|word| {
            format!("there is no scope `{word}`; allowed are words of `{}` apart by spaces", Scopes::ADMIN)
        })?;
        Ok(Self {
            conditions: written.r#match.into_iter().map(Condition::try_from).collect::<Result<_, _>>()?,
            tenant,
            scopes,
            models: written.models.map_or(ModelAccess::All, ModelAccess::Only),
        })
    }
}

impl TryFrom<WrittenCondition> for Condition {
    type Error = String;

    fn try_from(written: WrittenCondition) -> Result<Self, String> {
        let WrittenCondition { claim, equals, one_of, ends_with } = written;
        let test = match (equals, one_of, ends_with) {
            (Some(value), None, None) if is_plain(&value) => Test::Equals(value),
            (None, Some(values), None) if values.iter().all(is_plain) => Test::OneOf(values),
            (None, None, Some(end)) if !end.is_empty() => Test::EndsWith(end),
            _ => {
                return Err(format!(
                    "the condition on `{claim}` has one of `equals`, `one_of` (text, number or boolean) and `ends_with`"
                ));
            }
        };
        Ok(Self { claim, test })
    }
}

fn is_plain(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

impl From<Rule> for Written {
    fn from(rule: Rule) -> Self {
        let (tenant, tenant_claim) = match rule.tenant {
            TenantOf::Named(name) => (Some(name), None),
            TenantOf::Claim(claim) => (None, Some(claim)),
        };
        let models = match rule.models {
            ModelAccess::All => None,
            ModelAccess::Only(names) => Some(names),
        };
        let r#match = rule.conditions.into_iter().map(WrittenCondition::from).collect();
        Self { r#match, tenant, tenant_claim, scopes: rule.scopes.to_string(), models }
    }
}

impl From<Condition> for WrittenCondition {
    fn from(condition: Condition) -> Self {
        let empty = Self { claim: condition.claim, equals: None, one_of: None, ends_with: None };
        match condition.test {
            Test::Equals(value) => Self { equals: Some(value), ..empty },
            Test::OneOf(values) => Self { one_of: Some(values), ..empty },
            Test::EndsWith(end) => Self { ends_with: Some(end), ..empty },
        }
    }
}
