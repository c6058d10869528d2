//! Sums over the ledger.

use crate::{
    Store,
    row::{Columns, db},
    store::Sql,
};
use domain::{Error, KeyId, Money, Result, TenantId, Usage};
use sqlx::any::AnyRow;

/// The most rows of one report. A report that lacks some would pass for the whole, so a longer one is refused.
const MAX_ROWS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;

/// By what a report is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGroup {
    /// A day of UTC.
    Day,
    /// Who pays.
    Tenant,
    /// The key that asked.
    Key,
    /// The principal that asked.
    Principal,
    /// The model that answered.
    Model,
    /// The deployment that answered.
    Deployment,
    /// Who waited.
    Class,
}

impl UsageGroup {
    /// Every one, in the order of a report's columns.
    pub const ALL: [Self; 7] =
        [Self::Day, Self::Tenant, Self::Key, Self::Principal, Self::Model, Self::Deployment, Self::Class];

    /// Its word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Principal => "principal",
            Self::Model => "model",
            Self::Deployment => "deployment",
            Self::Class => "class",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == word)
    }

    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tenant => "tenant_id",
            Self::Key => "key_id",
            Self::Principal => "principal",
            Self::Model => "model",
            Self::Deployment => "deployment",
            Self::Class => "class",
        }
    }
}

/// What a report is about.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// Whose; none = everybody's.
    pub tenant: Option<TenantId>,
    /// Milliseconds, inclusive.
    pub from_ms: i64,
    /// Milliseconds, exclusive.
    pub to_ms: i64,
    /// Of this model only.
    pub model: Option<String>,
    /// Of this key only.
    pub key: Option<KeyId>,
    /// By what it is divided; none = one row.
    pub group_by: Vec<UsageGroup>,
}

/// One row of a report. What it is not divided by is `None`, and so is a key where a token asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The beginning of the day, in milliseconds.
    pub day_ms: Option<i64>,
    /// Who pays.
    pub tenant: Option<TenantId>,
    /// The key that asked.
    pub key: Option<KeyId>,
    /// The principal that asked.
    pub principal: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The deployment that answered.
    pub deployment: Option<String>,
    /// Who waited.
    pub class: Option<String>,
    /// How many there were.
    pub requests: i64,
    /// Those of them without an answer, or with one that was cut.
    pub failed_requests: i64,
    /// Those of them whose tokens are a guess.
    pub estimated_requests: i64,
    /// Those of them whose price is not known: `cost` lacks them.
    pub unpriced_requests: i64,
    /// Tokens.
    pub usage: Usage,
    /// What those with a price cost.
    pub cost: Money,
}

impl UsageRow {
    /// What those with a price cost; none where there were requests and none of them has a price: that is not nothing.
    #[must_use]
    pub fn known_cost(&self) -> Option<Money> {
        let is_unknown = self.requests > 0 && self.unpriced_requests == self.requests;
        (!is_unknown).then_some(self.cost)
    }
}

impl Store {
    /// Sums over the ledger, by the columns of the groups. A 400 when there are more than 10,000 rows.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>> {
        let rows = bind(self.sql(&statement(query)), query).fetch_all(self.reader()).await.map_err(db)?;
        if rows.len() as i64 > MAX_ROWS {
            return Err(too_long());
        }
        rows.iter().map(|row| read(row, &query.group_by)).collect()
    }
}

fn statement(query: &UsageQuery) -> String {
    let groups = UsageGroup::ALL.into_iter().filter(|group| query.group_by.contains(group));
    let columns: Vec<_> = groups.map(UsageGroup::column).collect();
    let filters = filters(query);
    let (select, by) = if columns.is_empty() {
        (String::new(), String::new())
    } else {
        let sorted: Vec<_> = columns.iter().map(|column| format!("{column} NULLS FIRST")).collect();
        (
            format!("{}, ", columns.join(", ")),
            format!(" GROUP BY {} ORDER BY {}", columns.join(", "), sorted.join(", ")),
        )
    };
    format!(
        "SELECT {select}COUNT(*) AS requests, \
         {} AS failed_requests, {} AS estimated_requests, {} AS unpriced_requests, {} AS input_tokens, \
         {} AS output_tokens, {} AS cached_tokens, {} AS cache_write_tokens, {} AS reasoning_tokens, {} AS cost_nanos \
         FROM (SELECT u.*, u.at_ms / {DAY_MS} AS day FROM usage_records u WHERE u.at_ms >= $1 AND u.at_ms < $2{filters}) r\
         {by} LIMIT {}",
        sum("CASE WHEN outcome IN ('failed', 'broken') THEN 1 ELSE 0 END"),
        sum("is_estimated"),
        sum("CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END"),
        sum("input_tokens"),
        sum("output_tokens"),
        sum("cached_tokens"),
        sum("cache_write_tokens"),
        sum("reasoning_tokens"),
        sum("cost_nanos"),
        MAX_ROWS + 1,
    )
}

/// PostgreSQL sums into NUMERIC, and nothing into NULL.
fn sum(of: &str) -> String {
    format!("CAST(COALESCE(SUM({of}), 0) AS BIGINT)")
}

/// The parameters after the two of the time.
fn filters(query: &UsageQuery) -> String {
    let given =
        [("tenant_id", query.tenant.is_some()), ("model", query.model.is_some()), ("key_id", query.key.is_some())];
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    given.zip(3..).map(|((column, _), number)| format!(" AND u.{column} = ${number}")).collect()
}

fn bind(statement: Sql, query: &UsageQuery) -> Sql {
    let texts =
        [query.tenant.as_ref().map(TenantId::as_str), query.model.as_deref(), query.key.as_ref().map(KeyId::as_str)];
    let statement = statement.bind(query.from_ms).bind(query.to_ms);
    texts.into_iter().flatten().fold(statement, |statement, text| statement.bind(text.to_owned()))
}

fn too_long() -> Error {
    let text = format!("This report has more than {MAX_ROWS} rows. Ask for a shorter time, or divide it by less.");
    Error::invalid(text).with_param("group_by").with_code("report_too_long")
}

fn read(row: &AnyRow, groups: &[UsageGroup]) -> Result<UsageRow> {
    let columns = Columns(row);
    let text = |group: UsageGroup| {
        if groups.contains(&group) { columns.opt_text(group.column()) } else { Ok(None) }
    };
    let day = if groups.contains(&UsageGroup::Day) { Some(columns.int("day")?) } else { None };
    Ok(UsageRow {
        day_ms: day.map(|day| day * DAY_MS),
        tenant: text(UsageGroup::Tenant)?.map(TenantId::from_string),
        key: text(UsageGroup::Key)?.map(KeyId::from_string),
        principal: text(UsageGroup::Principal)?,
        model: text(UsageGroup::Model)?,
        deployment: text(UsageGroup::Deployment)?,
        class: text(UsageGroup::Class)?,
        requests: columns.int("requests")?,
        failed_requests: columns.int("failed_requests")?,
        estimated_requests: columns.int("estimated_requests")?,
        unpriced_requests: columns.int("unpriced_requests")?,
        usage: Usage { cache_write: columns.int("cache_write_tokens")?.cast_unsigned(), ..columns.usage()? },
        cost: Money::from_nanos(columns.int("cost_nanos")?),
    })
}
