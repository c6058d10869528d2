//! The pools and the three things everything else is made of: a rendered statement, a reader and a transaction.

use crate::{
    dialect::Dialect,
    row::{Columns, db},
};
use domain::{Error, Kind, Result};
use futures::future::BoxFuture;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Executor, PgPool, Row, Transaction,
    any::{AnyArguments, AnyPoolOptions},
    postgres::PgPoolOptions,
    query::Query,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that takes longer to answer is one of a host that is gone. There may be a pool full of them to get rid of, one
/// after the other.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const POSTGRES_CONNECTIONS: u32 = 16;
/// So many of them are kept for `COPY`, which needs a pool of PostgreSQL's own kind: one for each writer of a gateway's ledger.
const COPY_CONNECTIONS: u32 = 4;
/// A process that vanishes in the middle of a transaction, with nobody telling the server, would hold its locks for hours.
/// Transactions here never wait for anything but the database; a `COPY` that is cut short is no idle transaction, so the server
/// also asks whether anybody is there.
const ABANDON_TRANSACTIONS: &str = "SET idle_in_transaction_session_timeout = '10s'; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3";
const SQLITE_READERS: u32 = 4;

/// A statement ready to be bound and run.
pub(crate) type Sql = Query<'static, Any, AnyArguments>;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    publishes_usage: bool,
    publishes_events: bool,
}

struct Inner {
    writer: AnyPool,
    reader: AnyPool,
    copies: Option<PgPool>,
    dialect: Dialect,
    bell_hint: Arc<Notify>,
    control_hint: Arc<Notify>,
}

/// What the parameters of one statement may have, in bytes, where there is a choice. A TLS record holds 16 KiB. What needs two is
/// written in two steps, of which the second waits for the delayed acknowledgement of the first, 40 ms: sqlx 0.9.0 leaves Nagle's
/// algorithm on (transact-rs/sqlx#4335; a later version will not).
pub(crate) const STATEMENT_BYTES: usize = 15 << 10;

impl Store {
    /// Opens `sqlite:///path/file.db` (made when missing) or `postgres://…`. Does not migrate.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of_url(url).ok_or_else(|| {
            Error::invalid("The database URL must start with `postgres://` or `sqlite://` (then an absolute path).")
        })?;
        let (writer, reader) = match dialect {
            Dialect::Postgres => open_postgres(url).await,
            Dialect::Sqlite => open_sqlite(url).await,
        }
        .map_err(|error| cannot_open(dialect, error))?;
        let copies = match dialect {
            Dialect::Postgres => Some(open_copies(url).map_err(|error| cannot_open(dialect, error))?),
            Dialect::Sqlite => None,
        };
        let (bell_hint, control_hint) = Default::default();
        let inner = Inner { writer, reader, copies, dialect, bell_hint, control_hint };
        Ok(Self { inner: Arc::new(inner), publishes_usage: false, publishes_events: false })
    }

    /// The same database, whose new usage records also go into the outbox if `publishes`. Somebody must empty it then.
    #[must_use]
    pub fn publishing_usage(self, publishes: bool) -> Self {
        Self { publishes_usage: publishes, ..self }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.now_ms().await.map(drop)
    }

    /// The database's clock, in milliseconds since 1970.
    pub async fn now_ms(&self) -> Result<i64> {
        let row = self.sql("SELECT now_ms() AS now_ms").fetch_one(self.reader()).await.map_err(db)?;
        Columns(&row).int("now_ms")
    }

    /// Woken when somebody in this process rings a bell; a hint, never the only reason to look.
    #[must_use]
    pub fn bell_hint(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.bell_hint)
    }

    /// Woken when somebody in this process pauses, cancels or changes a batch; a hint, never the only reason to look.
    #[must_use]
    pub fn control_hint(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.control_hint)
    }

    /// Closes every connection and waits for it.
    pub async fn close(&self) {
        self.inner.reader.close().await;
        self.inner.writer.close().await;
        if let Some(copies) = &self.inner.copies {
            copies.close().await;
        }
    }

    /// The same database, whose new batch events also go into the outbox if `publishes`. Somebody must empty it then.
    #[must_use]
    pub fn publishing_events(self, publishes: bool) -> Self {
        Self { publishes_events: publishes, ..self }
    }

    pub(crate) fn publishes_events(&self) -> bool {
        self.publishes_events
    }

    pub(crate) fn publishes_usage(&self) -> bool {
        self.publishes_usage
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// The statement in this database's words.
    pub(crate) fn sql(&self, sql: &str) -> Sql {
        sqlx::query(AssertSqlSafe(self.inner.dialect.render(sql)))
    }

    /// For statements that only read.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.inner.reader
    }

    /// For single statements that write.
    pub(crate) fn writer(&self) -> &AnyPool {
        &self.inner.writer
    }

    /// For `COPY`, where there is such a thing. Whoever gets an error closes the connection: it is not asked before use.
    pub(crate) fn copies(&self) -> Option<&PgPool> {
        self.inner.copies.as_ref()
    }

    /// A transaction that may write from its first statement on.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>> {
        match self.inner.dialect {
            Dialect::Postgres => self.inner.writer.begin().await,
            // A deferred transaction that reads first fails with SQLITE_BUSY when another process writes meanwhile.
            Dialect::Sqlite => self.inner.writer.begin_with("BEGIN IMMEDIATE").await,
        }
        .map_err(db)
    }

    /// Runs a write and says whether it changed anything.
    pub(crate) async fn changed(&self, statement: Sql) -> Result<bool> {
        Ok(statement.execute(self.writer()).await.map_err(db)?.rows_affected() > 0)
    }
}

fn cannot_open(dialect: Dialect, error: sqlx::Error) -> Error {
    let hint = match dialect {
        Dialect::Postgres => "PostgreSQL can't be reached. Check the host, port, user and database in the URL.",
        Dialect::Sqlite => "The SQLite file can't be opened. Check that its folder exists and can be written.",
    };
    Error::new(Kind::Unavailable, hint).with_source(error)
}

/// One pool. Each connection, new or old, is asked before use whether it sits on a writable primary: after a
/// failover an old connection answers pings and refuses every write.
async fn open_postgres(url: &str) -> sqlx::Result<(AnyPool, AnyPool)> {
    let pool = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS - COPY_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_of_use(connection)))
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect(url)
        .await?;
    Ok((pool.clone(), pool))
}

/// Connects when it is first used: not every process writes the ledger.
fn open_copies(url: &str) -> sqlx::Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(COPY_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(async { connection.execute(ABANDON_TRANSACTIONS).await.map(drop) }))
        .connect_lazy(url)
}

async fn is_of_use(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    // An error, so that the pool drops it without taking leave: that would not be answered either.
    let silent = || Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(CHECK_TIMEOUT, is_writable(connection)).await.unwrap_or_else(|_| silent())
}

async fn is_writable(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let row = connection.fetch_one("SELECT current_setting('transaction_read_only') AS read_only").await?;
    Ok(row.try_get::<String, _>("read_only")? == "off")
}

async fn prepare(connection: &mut AnyConnection) -> sqlx::Result<()> {
    if is_writable(connection).await? {
        return connection.execute(ABANDON_TRANSACTIONS).await.map(drop);
    }
    Err(sqlx::Error::Io(std::io::Error::other("the database accepts no writes: not the primary")))
}

/// One connection that writes, several that may only read.
async fn open_sqlite(url: &str) -> sqlx::Result<(AnyPool, AnyPool)> {
    let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
    let options = AnyPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(None).max_lifetime(None);
    let writer = options
        .clone()
        .max_connections(1)
        .after_connect(|connection, _| pragmas(connection, "PRAGMA query_only = OFF"))
        .connect(&url)
        .await?;
    let reader = options
        .max_connections(SQLITE_READERS)
        .after_connect(|connection, _| pragmas(connection, "PRAGMA query_only = ON"))
        .connect(&url)
        .await?;
    Ok((writer, reader))
}

fn pragmas<'a>(connection: &'a mut AnyConnection, last: &'static str) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        for pragma in [
            "PRAGMA busy_timeout = 5000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
            last,
        ] {
            connection.execute(pragma).await?;
        }
        Ok(())
    })
}
