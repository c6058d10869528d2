//! Bringing the schema to this version. All pending steps are one transaction under one lock, so ten processes
//! may ask at once and the schema never stands half way.

use crate::{
    Store,
    dialect::Dialect,
    row::{Columns, db},
};
use domain::{Error, Kind, Result};
use sha2::{Digest, Sha256};
use sqlx::{Any, Transaction, raw_sql};
use std::collections::BTreeMap;

/// Any number will do as long as every process of ours uses it and nobody else's does.
const ADVISORY_LOCK: i64 = 0x7461_6e64_656d_0001;

struct Step {
    number: i64,
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        number: 1,
        name: "create_tables",
        postgres: include_str!("../../../migrations/postgres/0001_create_tables.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0001_create_tables.sql"),
    },
    Step {
        number: 2,
        name: "add_batch_traceparent",
        postgres: include_str!("../../../migrations/postgres/0002_add_batch_traceparent.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0002_add_batch_traceparent.sql"),
    },
    Step {
        number: 3,
        name: "add_batch_cleared",
        postgres: include_str!("../../../migrations/postgres/0003_add_batch_cleared.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0003_add_batch_cleared.sql"),
    },
    Step {
        number: 4,
        name: "add_identity_limits_ledger",
        postgres: include_str!("../../../migrations/postgres/0004_add_identity_limits_ledger.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0004_add_identity_limits_ledger.sql"),
    },
    Step {
        number: 5,
        name: "add_scheduling",
        postgres: include_str!("../../../migrations/postgres/0005_add_scheduling.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0005_add_scheduling.sql"),
    },
    Step {
        number: 6,
        name: "add_batch_records",
        postgres: include_str!("../../../migrations/postgres/0006_add_batch_records.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0006_add_batch_records.sql"),
    },
    Step {
        number: 7,
        name: "add_batch_events",
        postgres: include_str!("../../../migrations/postgres/0007_add_batch_events.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0007_add_batch_events.sql"),
    },
    Step {
        number: 8,
        name: "add_uploads",
        postgres: include_str!("../../../migrations/postgres/0008_add_uploads.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0008_add_uploads.sql"),
    },
    Step {
        number: 9,
        name: "add_webhooks",
        postgres: include_str!("../../../migrations/postgres/0009_add_webhooks.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0009_add_webhooks.sql"),
    },
    Step {
        number: 10,
        name: "add_submissions",
        postgres: include_str!("../../../migrations/postgres/0010_add_submissions.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0010_add_submissions.sql"),
    },
    Step {
        number: 11,
        name: "add_asked_lines",
        postgres: include_str!("../../../migrations/postgres/0011_add_asked_lines.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0011_add_asked_lines.sql"),
    },
];

impl Step {
    fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// A step that [`Store::migrate`] has just taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The number in the file's name.
    pub number: i64,
    /// The words in the file's name.
    pub name: String,
}

/// A step this version knows, and when the database took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The number in the file's name.
    pub number: i64,
    /// The words in the file's name.
    pub name: String,
    /// Milliseconds; `None` while pending.
    pub applied_at: Option<i64>,
}

impl Store {
    /// Takes every pending step and says which. Safe to call from many processes at once.
    pub async fn migrate(&self) -> Result<Vec<Applied>> {
        let mut tx = self.begin().await?;
        if self.dialect() == Dialect::Postgres {
            self.sql("SELECT pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *tx).await.map_err(db)?;
        }
        raw_sql(
            "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
             sha256 TEXT NOT NULL, applied_at_ms BIGINT NOT NULL)",
        )
        .execute(&mut *tx)
        .await
        .map_err(db)?;
        let rows = self.sql("SELECT number, sha256 FROM migrations").fetch_all(&mut *tx).await.map_err(db)?;
        let mut taken = BTreeMap::new();
        for row in &rows {
            taken.insert(Columns(row).int("number")?, Columns(row).text("sha256")?);
        }
        refuse_newer(&taken)?;
        let mut applied = Vec::new();
        for step in STEPS {
            match taken.get(&step.number) {
                Some(sha256) => refuse_changed(step, self.dialect(), sha256)?,
                None => applied.push(self.take_step(&mut tx, step).await?),
            }
        }
        tx.commit().await.map_err(db)?;
        Ok(applied)
    }

    /// Every step this version knows.
    pub async fn migration_status(&self) -> Result<Vec<Migration>> {
        let exists = match self.dialect() {
            Dialect::Postgres => {
                "SELECT 1 AS one FROM pg_tables WHERE tablename = 'migrations' AND schemaname = current_schema()"
            }
            Dialect::Sqlite => "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = 'migrations'",
        };
        let mut taken = BTreeMap::new();
        if self.sql(exists).fetch_optional(self.reader()).await.map_err(db)?.is_some() {
            let rows = self.sql("SELECT number, applied_at_ms FROM migrations").fetch_all(self.reader()).await;
            for row in &rows.map_err(db)? {
                taken.insert(Columns(row).int("number")?, Columns(row).int("applied_at_ms")?);
            }
        }
        let status = |step: &Step| Migration {
            number: step.number,
            name: step.name.to_owned(),
            applied_at: taken.get(&step.number).copied(),
        };
        Ok(STEPS.iter().map(status).collect())
    }

    async fn take_step(&self, tx: &mut Transaction<'static, Any>, step: &Step) -> Result<Applied> {
        let text = step.text(self.dialect());
        raw_sql(text).execute(&mut **tx).await.map_err(db)?;
        self.sql("INSERT INTO migrations (number, name, sha256, applied_at_ms) VALUES ($1, $2, $3, now_ms())")
            .bind(step.number)
            .bind(step.name)
            .bind(hex::encode(Sha256::digest(text)))
            .execute(&mut **tx)
            .await
            .map_err(db)?;
        Ok(Applied { number: step.number, name: step.name.to_owned() })
    }
}

fn refuse_newer(taken: &BTreeMap<i64, String>) -> Result<()> {
    let known = STEPS.iter().map(|step| step.number).max().unwrap_or(0);
    match taken.keys().next_back() {
        Some(newest) if *newest > known => Err(Error::new(
            Kind::Conflict,
            format!("The database is at migration {newest}; this version knows {known}. Run a newer version."),
        )),
        _ => Ok(()),
    }
}

fn refuse_changed(step: &Step, dialect: Dialect, sha256: &str) -> Result<()> {
    if hex::encode(Sha256::digest(step.text(dialect))) == sha256 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        format!("Migration {:04} was changed after the database took it. Add a new one instead.", step.number),
    ))
}
