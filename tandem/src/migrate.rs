//! `tandem migrate`: the schema, before a rollout rather than at the boot of many replicas.

use crate::{
    cli::{MigrateAction, MigrateArgs},
    settings::Settings,
};

pub(crate) async fn run(settings: &Settings, args: MigrateArgs) -> anyhow::Result<()> {
    let store = settings.data.open().await?;
    match args.action {
        MigrateAction::Status => {
            for migration in store.migration_status().await? {
                let state = migration.applied_at.map_or_else(|| "pending".to_owned(), |at| format!("applied at {at}"));
                println!("{:04} {:<30} {state}", migration.number, migration.name);
            }
        }
        MigrateAction::Up => {
            let applied = store.migrate().await?;
            println!("{} migrations applied; the database is up to date.", applied.len());
        }
    }
    Ok(())
}
