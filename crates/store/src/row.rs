//! Reading columns, and turning database errors into ours.

use domain::{Error, Kind, LineCounts, Result, Usage};
use sqlx::{Row, any::AnyRow};

/// A row with typed getters that report our error.
pub(crate) struct Columns<'a>(pub(crate) &'a AnyRow);

impl Columns<'_> {
    pub(crate) fn int(&self, name: &str) -> Result<i64> {
        self.0.try_get(name).map_err(db)
    }

    pub(crate) fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        self.0.try_get(name).map_err(db)
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        self.0.try_get(name).map_err(db)
    }

    pub(crate) fn opt_text(&self, name: &str) -> Result<Option<String>> {
        self.0.try_get(name).map_err(db)
    }

    pub(crate) fn blob(&self, name: &str) -> Result<Vec<u8>> {
        self.0.try_get(name).map_err(db)
    }

    pub(crate) fn opt_blob(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.0.try_get(name).map_err(db)
    }

    /// A column that holds one of the words of an enum.
    pub(crate) fn word<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let text = self.text(name)?;
        parse(&text).ok_or_else(|| Error::internal(format!("column {name} holds the unknown word {text:?}")))
    }

    /// A column that holds the rank of a value of an enum.
    pub(crate) fn rank<T>(&self, name: &str, parse: impl Fn(i64) -> Option<T>) -> Result<T> {
        let rank = self.int(name)?;
        parse(rank).ok_or_else(|| Error::internal(format!("column {name} holds the unknown rank {rank}")))
    }

    /// A checksum, which SQL has as a BIGINT.
    pub(crate) fn opt_crc32c(&self, name: &str) -> Result<Option<u32>> {
        self.opt_int(name)?.map(|value| u32::try_from(value).map_err(Error::internal)).transpose()
    }

    pub(crate) fn crc32c(&self, name: &str) -> Result<u32> {
        u32::try_from(self.int(name)?).map_err(Error::internal)
    }

    /// The four `lines_*` columns.
    pub(crate) fn counts(&self) -> Result<LineCounts> {
        Ok(LineCounts {
            completed: self.int("lines_completed")?,
            failed: self.int("lines_failed")?,
            expired: self.int("lines_expired")?,
            cancelled: self.int("lines_cancelled")?,
        })
    }

    /// The four `*_tokens` columns.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            input: self.int("input_tokens")?.cast_unsigned(),
            output: self.int("output_tokens")?.cast_unsigned(),
            cached: self.int("cached_tokens")?.cast_unsigned(),
            reasoning: self.int("reasoning_tokens")?.cast_unsigned(),
            ..Usage::default()
        })
    }
}

/// SQLSTATEs after which the same statement may succeed on another connection: connection trouble, read-only
/// primary after a failover, serialization failure, deadlock, shutdown, too many connections.
const TRANSIENT: [&str; 7] = ["25006", "40001", "40P01", "57P01", "57P02", "57P03", "53300"];

/// A database error as ours. The text of the cause stays in the log.
pub(crate) fn db(error: sqlx::Error) -> Error {
    if is_transient(&error) {
        return Error::unavailable("The database can't be reached right now. Try again.").with_source(error);
    }
    match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => {
            Error::new(Kind::Conflict, "Something with this name or id already exists.").with_source(error)
        }
        _ => Error::internal(error),
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(cause) => {
            let message = cause.message();
            cause.code().is_some_and(|code| code.starts_with("08") || TRANSIENT.contains(&code.as_ref()))
                || message.contains("database is locked")
        }
        _ => false,
    }
}
