//! Reading limits.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{Limit, LimitId, LimitKind, Result, SubjectKind, TenantId};
use sqlx::any::AnyRow;

impl Store {
    /// Every limit of every tenant, for a gateway's snapshot.
    pub async fn all_limits(&self) -> Result<Vec<Limit>> {
        let rows = self.sql("SELECT * FROM limits ORDER BY tenant_id, id").fetch_all(self.reader()).await;
        rows.map_err(db)?.iter().map(limit).collect()
    }
}

pub(crate) fn limit(row: &AnyRow) -> Result<Limit> {
    let columns = Columns(row);
    Ok(Limit {
        id: LimitId::from_string(columns.text("id")?),
        tenant: TenantId::from_string(columns.text("tenant_id")?),
        subject_kind: columns.word("subject_kind", SubjectKind::parse)?,
        subject: columns.text("subject")?,
        model: Some(columns.text("model")?).filter(|model| !model.is_empty()),
        kind: columns.word("kind", LimitKind::parse)?,
        amount: columns.int("amount")?,
    })
}
