//! Records on PostgreSQL's own way in, the binary form of `COPY`: it takes the server a third of the work of an `INSERT`. It knows
//! no `ON CONFLICT`, so it is for records that are new, as nearly all are; of others none is taken.

use super::{COLUMNS, record::NewRow};
use domain::UsageRecord;
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::{io, time::Duration};

/// What takes longer gets no answer any more; shorter than those who call are willing to wait, so that they don't cut it short.
const PATIENCE: Duration = Duration::from_secs(5);
/// The head, the end and the mark of an absent value, as PostgreSQL's documentation of `COPY` has them for its binary format.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const NO_FLAGS_NO_EXTENSION: [u8; 8] = [0; 8];
const TRAILER: i16 = -1;
const NULL: i32 = -1;
/// So many are written between two looks at other tasks.
const ROWS_AT_ONCE: usize = 50;
/// About what a record takes.
const ROW_BYTES: usize = 400;

/// Writes `records`, and into the outbox if it `publishes`, all or none.
///
/// # Errors
/// A violation of uniqueness when one of them is there already.
pub(super) async fn copy(pool: &PgPool, records: &[UsageRecord], publishes: bool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let written = match tokio::time::timeout(PATIENCE, write(&mut connection, records, publishes)).await {
        Ok(written) => written,
        Err(_elapsed) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    };
    if written.as_ref().is_err_and(|error| !is_duplicate(error)) {
        // It may be silent for ever, or sit on a server that takes no writes any more.
        connection.close_on_drop();
    }
    written
}

/// Whether a record was there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|cause| cause.is_unique_violation())
}

async fn write(
    connection: &mut PoolConnection<Postgres>,
    records: &[UsageRecord],
    publishes: bool,
) -> sqlx::Result<()> {
    let into = format!("usage_records ({COLUMNS})");
    let whole = |record: &UsageRecord, out: &mut Out| NewRow::from(record).copy_to(out);
    if !publishes {
        return send(connection, &into, records, whole).await;
    }
    let mut tx = connection.begin().await?;
    send(&mut tx, &into, records, whole).await?;
    send(&mut tx, "usage_outbox (usage_id)", records, |record, out| {
        out.row(1);
        out.text(record.id.as_str());
    })
    .await?;
    tx.commit().await
}

async fn send(
    connection: &mut PgConnection,
    to: &str,
    records: &[UsageRecord],
    write: impl Fn(&UsageRecord, &mut Out),
) -> sqlx::Result<()> {
    let mut out = Out::begin(records.len());
    for some in records.chunks(ROWS_AT_ONCE) {
        for record in some {
            write(record, &mut out);
        }
        // Requests wait for no more than this.
        tokio::task::yield_now().await;
    }
    let mut copy = connection.copy_in_raw(&format!("COPY {to} FROM STDIN (FORMAT binary)")).await?;
    // In one piece: sqlx 0.9.0 leaves Nagle's algorithm on (its issue 4335), so that over TCP a small one waits until the one
    // before it is acknowledged, for up to 40 ms.
    copy.send(out.end()).await?;
    copy.finish().await.map(drop)
}

/// Rows as they are written.
pub(super) struct Out(Vec<u8>);

impl Out {
    fn begin(rows: usize) -> Self {
        let mut out = Vec::with_capacity(rows * ROW_BYTES);
        out.extend_from_slice(SIGNATURE);
        out.extend_from_slice(&NO_FLAGS_NO_EXTENSION);
        Self(out)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&TRAILER.to_be_bytes());
        self.0
    }

    /// Begins a row of so many fields.
    pub(super) fn row(&mut self, fields: i16) {
        self.0.extend_from_slice(&fields.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        let bytes = i32::try_from(text.len()).expect("texts of the ledger are bounded");
        self.0.extend_from_slice(&bytes.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn int(&mut self, number: i64) {
        self.0.extend_from_slice(&8_i32.to_be_bytes());
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn opt_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub(super) fn opt_int(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.int(number),
            None => self.null(),
        }
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&NULL.to_be_bytes());
    }
}
