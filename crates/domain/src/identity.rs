//! Who may do what: scopes, allowed models, and the caller of a request.

use crate::{KeyId, TenantId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Ask models, and list them.
    Inference = 1,
    /// Upload, list, read and delete files.
    Files = 2,
    /// Make, list, read and cancel batches.
    Batches = 4,
    /// Read the own usage.
    Usage = 8,
    /// The admin API: tenants, keys, limits, everybody's usage.
    Admin = 16,
}

impl Scope {
    /// Every scope, narrowest first.
    pub const ALL: [Self; 5] = [Self::Inference, Self::Files, Self::Batches, Self::Usage, Self::Admin];

    /// Its word in tokens, JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::Usage => "usage",
            Self::Admin => "admin",
        }
    }

    /// The scope of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A set of scopes, written as OAuth 2.0 does (RFC 6749, section 3.3): words apart by spaces.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// What a key may do when nobody said otherwise: everything but the admin API.
    pub const USER: Self = Self(15);
    /// Everything.
    pub const ADMIN: Self = Self(31);

    /// The scopes that the words of `text` name.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn parse(text: &str) -> Result<Self, &str> {
        text.split_ascii_whitespace().try_fold(Self(0), |all, word| Ok(all.with(Scope::parse(word).ok_or(word)?)))
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope as u8)
    }

    /// Whether `scope` is one of them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether `other` has all of them.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

/// Which models may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelAccess {
    /// Every one, also those that come later.
    #[default]
    All,
    /// Those of these names.
    Only(BTreeSet<String>),
}

impl ModelAccess {
    /// Whether `model` may be asked.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(model),
        }
    }

    /// Whether `other` allows every model that this one does.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Only(_)) => false,
            (Self::Only(these), Self::Only(those)) => these.is_subset(those),
        }
    }
}

/// Who asks: a key, or a principal (an OIDC subject or a Google service account) acting for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For whom the work is done.
    pub tenant: TenantId,
    /// The key, if a key asks.
    pub key: Option<KeyId>,
    /// `issuer:subject`, if a token asks; the issuer by its name in the settings.
    pub principal: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// Which models it may ask.
    pub models: ModelAccess,
}

impl Caller {
    /// The name of the caller in audit records.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.as_ref().map(KeyId::as_str).or(self.principal.as_deref()).unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> ModelAccess {
        ModelAccess::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn scopes_read_back_as_they_are_written() {
        assert_eq!(Scopes::parse("usage  inference").unwrap().to_string(), "inference usage");
        assert_eq!(Scopes::parse("inference root"), Err("root"));
        assert_eq!(Scopes::parse(&Scopes::ADMIN.to_string()), Ok(Scopes::ADMIN));
    }

    #[test]
    fn a_wider_set_is_not_within_a_narrower_one() {
        assert!(Scopes::USER.is_within(Scopes::ADMIN) && !Scopes::ADMIN.is_within(Scopes::USER));
        assert!(only(&["a"]).is_within(&only(&["a", "b"])) && !only(&["a", "c"]).is_within(&only(&["a", "b"])));
        assert!(only(&[]).is_within(&ModelAccess::All) && !ModelAccess::All.is_within(&only(&["a"])));
    }
}
