//! `tandem keys`: make, list and revoke API keys, straight in the database.

use crate::{
    cli::{KeysAction, KeysArgs},
    settings::Settings,
};
use anyhow::ensure;
use domain::{KeyId, Scopes};
use store::NewKey;

pub(crate) async fn run(settings: &Settings, args: KeysArgs) -> anyhow::Result<()> {
    let store = settings.data.open().await?;
    store.migrate().await?;
    match args.action {
        KeysAction::Create { name, tenant, admin } => {
            let tenant = store.ensure_tenant(&tenant).await?;
            let scopes = if admin { Scopes::ADMIN } else { Scopes::USER };
            let (key, secret) = store.create_key(&tenant.id, &NewKey::named(&name, scopes)).await?;
            println!("{}\n{secret}\nThis secret is not stored and can't be shown again.", key.id);
        }
        KeysAction::List => {
            for key in store.list_keys().await? {
                let state = if key.revoked_at_ms.is_some() { "revoked" } else { "active" };
                println!("{}  {state:<8}  {}  {}", key.id, key.tenant, key.name);
            }
        }
        KeysAction::Revoke { id } => {
            ensure!(
                store.revoke_key(&KeyId::from_string(&id)).await?,
                "there is no active key {id}; see `tandem keys list`"
            );
            println!("{id} is revoked.");
        }
    }
    Ok(())
}
