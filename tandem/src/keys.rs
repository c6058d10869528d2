//! `tandem keys`: make, list, rotate and revoke API keys, straight in the database.

use crate::{
    cli::{KeysAction, KeysArgs},
    settings::Settings,
};
use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{KeyId, Kind, ModelAccess, Scopes, TenantId};
use std::time::Duration;
use store::{ApiKey, Author, NewKey, Store};

const PAGE: i64 = 1_000;
const SHOWN_ONCE: &str = "This secret is not stored and can't be shown again.";

pub(crate) async fn run(settings: &Settings, args: KeysArgs) -> anyhow::Result<()> {
    let store = settings.data.open().await?;
    store.migrate().await?;
    let environment = &settings.gateway.identity.environment;
    let author = Author::cli();
    match args.action {
        KeysAction::Create { name, tenant, admin, scopes, models, expires, note } => {
            let scopes = to_scopes(admin, &scopes)?;
            let expires_at_ms = expires.map(|span| to_end(span, Utc::now())).transpose()?;
            let models =
                if models.is_empty() { ModelAccess::All } else { ModelAccess::Only(models.into_iter().collect()) };
            let new = NewKey { name, environment: environment.clone(), scopes, models, note, expires_at_ms };
            let tenant = tenant_of(&store, &author, &tenant).await?;
            let (key, secret) = store.create_key_by(&author, &tenant, &new).await?;
            println!("{}\n{secret}\n{SHOWN_ONCE}", key.id);
        }
        KeysAction::List { tenant } => list(&store, tenant.as_deref()).await?,
        KeysAction::Rotate { id, overlap } => {
            let how = (environment.as_str(), overlap);
            let rotated = store.rotate_key_by(&author, &KeyId::from_string(&id), how, |_| Ok(())).await?;
            let (key, secret) = rotated.ok_or_else(|| no_such_key(&id))?;
            let until = key.old_until_ms.map_or_else(String::new, to_time);
            println!("{id}\n{secret}\n{SHOWN_ONCE} The one before works until {until}.");
        }
        KeysAction::Revoke { id } => {
            ensure!(store.revoke_key_by(&author, &KeyId::from_string(&id)).await?, no_such_key(&id));
            println!("{id} is revoked.");
        }
    }
    Ok(())
}

/// The tenant of that name, made when there is none.
async fn tenant_of(store: &Store, author: &Author, name: &str) -> anyhow::Result<TenantId> {
    if let Some(tenant) = store.active_tenants().await?.into_iter().find(|tenant| tenant.name == name) {
        return Ok(tenant.id);
    }
    match store.add_tenant(author, name, "").await {
        Ok(tenant) => Ok(tenant.id),
        Err(error) if error.kind() == Kind::Conflict => {
            Err(anyhow!("the tenant `{name}` is disabled, so its keys would not work; enable it first"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn list(store: &Store, tenant: Option<&str>) -> anyhow::Result<()> {
    let tenant = match tenant {
        None => None,
        Some(name) => {
            let all = store.active_tenants().await?;
            let found = all.into_iter().find(|tenant| tenant.name == name);
            Some(found.with_context(|| format!("there is no tenant `{name}`, or it is disabled"))?.id)
        }
    };
    let mut after = None;
    loop {
        let (page, has_more) = store.list_keys(tenant.as_ref(), after.as_ref(), PAGE).await?;
        page.iter().for_each(|key| println!("{}", to_line(key, Utc::now())));
        after = page.last().map(|key| key.id.clone());
        if !has_more {
            return Ok(());
        }
    }
}

fn to_line(key: &ApiKey, now: DateTime<Utc>) -> String {
    let state = match (key.revoked_at_ms, key.expires_at_ms) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now.timestamp_millis() => "expired",
        _ => "active",
    };
    let used = key.last_used_at_ms.map_or_else(|| "never used".to_owned(), |at| format!("used {}", to_time(at)));
    let models = match &key.models {
        ModelAccess::All => "every model".to_owned(),
        ModelAccess::Only(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(","),
    };
    let (scopes, hint) = (key.scopes.to_string().replace(' ', ","), &key.hint);
    format!("{}  {state:<8}  {}  {hint}  {scopes}  {models}  {used}  {}", key.id, key.tenant, key.name)
}

fn to_scopes(admin: bool, words: &[String]) -> anyhow::Result<Scopes> {
    match (admin, words) {
        (true, _) => Ok(Scopes::ADMIN),
        (false, []) => Ok(Scopes::USER),
        (false, words) => {
            let allowed = Scopes::ADMIN;
            Scopes::parse(&words.join(" ")).map_err(|word| anyhow!("there is no scope `{word}`; allowed: {allowed}"))
        }
    }
}

/// Milliseconds since 1970 at the end of a span that begins now.
fn to_end(span: Duration, now: DateTime<Utc>) -> anyhow::Result<i64> {
    let span = chrono::Duration::from_std(span).ok();
    let end = span.and_then(|span| now.checked_add_signed(span)).context("`--expires` is too far in the future")?;
    Ok(end.timestamp_millis())
}

fn to_time(at_ms: i64) -> String {
    DateTime::from_timestamp_millis(at_ms)
        .map_or_else(|| at_ms.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn no_such_key(id: &str) -> anyhow::Error {
    anyhow!("there is no active key {id}; see `tandem keys list`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();

        assert_eq!(to_scopes(false, &[]).unwrap(), Scopes::USER);
        assert_eq!(to_scopes(true, &[]).unwrap(), Scopes::ADMIN);
        assert_eq!(to_scopes(false, &words(&["usage", "inference"])).unwrap().to_string(), "inference usage");
        assert!(to_scopes(false, &words(&["root"])).unwrap_err().to_string().contains("`root`"));
    }

    #[test]
    fn an_end_beyond_time_is_refused() {
        let now = DateTime::from_timestamp_millis(1_000).unwrap();

        assert_eq!(to_end(Duration::from_secs(2), now).unwrap(), 3_000);
        assert!(to_end(Duration::MAX, now).is_err());
    }
}
