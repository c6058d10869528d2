//! Lists a page at a time. One row more than asked for is read: it says whether there is another page.

use crate::{
    Store,
    row::{Columns, db},
};
use domain::{Error, Result, TenantId};
use sqlx::any::AnyRow;

impl Store {
    /// A page of rows, newest first, and whether there are more. `select` reads from a table whose ids are in the order of their
    /// making; of the columns in `filters`, those with a value must have it.
    pub(crate) async fn newest<T>(
        &self,
        select: &'static str,
        filters: &[(&'static str, Option<&str>)],
        (after, limit): (Option<&str>, i64),
        read: impl Fn(&AnyRow) -> Result<T>,
    ) -> Result<(Vec<T>, bool)> {
        let equal = filters.iter().filter_map(|(column, value)| Some((format!("{column} ="), (*value)?)));
        let tests: Vec<_> = equal.chain(after.map(|after| ("id <".to_owned(), after))).collect();
        let texts = tests.iter().enumerate().map(|(at, (test, _))| format!("{test} ${}", at + 1)).collect::<Vec<_>>();
        let condition = if texts.is_empty() { String::new() } else { format!("WHERE {}", texts.join(" AND ")) };
        let sql = format!("{select} {condition} ORDER BY id DESC LIMIT ${}", tests.len() + 1);
        let statement = tests.iter().fold(self.sql(&sql), |statement, (_, value)| statement.bind((*value).to_owned()));
        let rows = statement.bind(limit + 1).fetch_all(self.reader()).await.map_err(db)?;
        page(&rows, limit, read)
    }

    /// Where a page begins: the (created, id) of `after`, or the far end of the list.
    pub(crate) async fn page_start(
        &self,
        table: &str,
        tenant: &TenantId,
        after: Option<&str>,
        desc: bool,
    ) -> Result<(i64, String)> {
        let Some(after) = after else {
            return Ok((if desc { i64::MAX } else { -1 }, String::new()));
        };
        let row = self
            .sql(&format!("SELECT created_at_ms FROM {table} WHERE id = $1 AND tenant_id = $2"))
            .bind(after)
            .bind(tenant.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(db)?
            .ok_or_else(|| {
                Error::invalid(format!("`after` names nothing in this list: {after}")).with_param("after")
            })?;
        Ok((Columns(&row).int("created_at_ms")?, after.to_owned()))
    }
}

/// Cuts the one row too many that says whether there is a next page.
pub(crate) fn page<T>(rows: &[AnyRow], limit: i64, read: impl Fn(&AnyRow) -> Result<T>) -> Result<(Vec<T>, bool)> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let items = rows.iter().take(limit).map(read).collect::<Result<_>>()?;
    Ok((items, rows.len() > limit))
}
