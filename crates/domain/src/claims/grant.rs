//! From claims to rights: the first rule that fits decides.

use super::{Claims, Condition, Rule, TenantOf, Test};
use crate::{Error, Kind, ModelAccess, Result, Scopes};
use serde_json::Value;

const MAX_NAME_CHARS: usize = 256;
const EMAIL: &str = "email";

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The name of the tenant that it acts for.
    pub tenant: &'a str,
    /// `issuer:name`.
    pub principal: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: &'a ModelAccess,
}

/// What the first of the rules that fits grants. `issuer` is the name that the issuer goes by here, and `principal` the
/// claim that names who asks.
///
/// # Errors
/// `PermissionDenied` when no rule fits, or the claims that it needs are missing.
pub fn grant<'a>(issuer: &str, principal: &str, rules: &'a [Rule], claims: &'a Claims) -> Result<Grant<'a>> {
    let rule = rules.iter().find(|rule| rule.conditions.iter().all(|condition| holds(condition, claims)));
    let rule = rule
        .ok_or_else(|| denied(&format!("The claims of your token fit none of the rules for the issuer `{issuer}`.")))?;
    if leans_on_email(principal, rule) && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(denied("Your token's `email` is not verified by its issuer (`email_verified`)."));
    }
    let tenant = match &rule.tenant {
        TenantOf::Named(name) => name,
        TenantOf::Claim(claim) => name(claims, claim)?,
    };
    let principal = format!("{issuer}:{}", name(claims, principal)?);
    Ok(Grant { tenant, principal, scopes: rule.scopes, models: &rule.models })
}

/// Whether an address that the issuer has not verified would say who asks.
fn leans_on_email(principal: &str, rule: &Rule) -> bool {
    // Also where it is a list of addresses, and one of them is pointed at.
    let is_email = |claim: &str| {
        claim == EMAIL || claim.strip_prefix('/').is_some_and(|nested| nested.split('/').next() == Some(EMAIL))
    };
    is_email(principal)
        || rule.conditions.iter().any(|condition| is_email(&condition.claim))
        || matches!(&rule.tenant, TenantOf::Claim(claim) if is_email(claim))
}

fn holds(condition: &Condition, claims: &Claims) -> bool {
    match claims.get(&condition.claim) {
        None => false,
        Some(Value::Array(values)) => values.iter().any(|value| passes(&condition.test, value)),
        Some(value) => passes(&condition.test, value),
    }
}

fn passes(test: &Test, value: &Value) -> bool {
    match test {
        Test::Equals(wanted) => value == wanted,
        Test::OneOf(wanted) => wanted.contains(value),
        Test::EndsWith(end) => value.as_str().is_some_and(|text| text.ends_with(end.as_str())),
    }
}

/// A claim that names somebody.
fn name<'a>(claims: &'a Claims, claim: &str) -> Result<&'a str> {
    let is_name = |text: &&str| !text.is_empty() && text.chars().count() <= MAX_NAME_CHARS;
    let text = claims.text(claim).filter(is_name).filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| denied(&format!("Your token has no usable claim `{claim}`.")))
}

fn denied(message: &str) -> Error {
    Error::new(Kind::PermissionDenied, message).with_code("no_matching_rule")
}

#[cfg(test)]
mod tests;
