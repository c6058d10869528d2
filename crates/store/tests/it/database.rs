//! A database of its own for each scenario, and the few objects most scenarios begin with.

use domain::{BatchId, Bitmap, Endpoint, FileId, LineCounts, ShardId, TenantId, Terms, Usage, WorkerId};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::future::Future;
use store::{BatchRow, NewBatch, NewFile, NewSegment, NewShard, SegmentBlob, ShardLease, Store};

/// Makes one test for each database out of an `async fn(Db)`.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { $crate::database::on_sqlite(super::$scenario).await; }
        )+ }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { $crate::database::on_postgres(super::$scenario).await; }
        )+ }
    };
}
pub(crate) use on_both;

pub(crate) const LEASE_MS: i64 = 30_000;
pub(crate) const TOKENS_A_LINE: i64 = 10;
/// A lease that has ended by the time it is granted.
pub(crate) const LAPSED_MS: i64 = -1;

/// A database that nobody else uses.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) store: Store,
    pub(crate) url: String,
}

pub(crate) async fn on_sqlite<F: Future<Output = ()> + Send + 'static>(scenario: fn(Db) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    run(&url, scenario).await;
}

pub(crate) async fn on_postgres<F: Future<Output = ()> + Send + 'static>(scenario: fn(Db) -> F) {
    let server = std::env::var_os("DATABASE_URL").and_then(|url| url.into_string().ok());
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let name = format!("tandem_test_{}", uuid::Uuid::new_v4().simple());
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    execute(&server, &format!("CREATE DATABASE {name}")).await;

    let outcome = tokio::spawn(async move { run(&url, scenario).await }).await;

    execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    outcome.unwrap();
}

async fn run<F: Future<Output = ()> + Send + 'static>(url: &str, scenario: fn(Db) -> F) {
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();

    scenario(Db { store: store.clone(), url: url.to_owned() }).await;

    store.close().await;
}

/// Runs SQL behind the store's back.
pub(crate) async fn execute(url: &str, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

impl Db {
    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await;
    }

    pub(crate) async fn tenant(&self) -> TenantId {
        self.store.ensure_tenant("acme").await.unwrap().id
    }

    pub(crate) async fn batch(&self) -> BatchRow {
        self.store.insert_batch(new_batch(&self.tenant().await)).await.unwrap()
    }

    /// A batch that runs, with one shard of `line_counts[i]` lines each.
    pub(crate) async fn running(&self, line_counts: &[i64]) -> (BatchId, Vec<ShardId>) {
        let new = new_batch(&self.tenant().await);
        (new.id.clone(), self.run(new, line_counts).await)
    }

    /// Starts this batch, with one shard of `line_counts[i]` lines each.
    pub(crate) async fn run(&self, new: NewBatch, line_counts: &[i64]) -> Vec<ShardId> {
        let batch = self.store.insert_batch(new).await.unwrap().id;
        let lease = self.store.claim_batch(&batch, &WorkerId::generate(), LEASE_MS).await.unwrap().unwrap();
        assert!(self.store.start_batch(&lease, line_counts.iter().sum(), Some("m")).await.unwrap());
        let shards = new_shards(line_counts);
        assert!(self.store.plan_shards(&batch, 0, &shards).await.unwrap());
        shards.into_iter().map(|shard| shard.id).collect()
    }

    pub(crate) async fn claim(&self, shard: &ShardId, lease_ms: i64) -> ShardLease {
        self.store.claim_shard(shard, &WorkerId::generate(), lease_ms).await.unwrap().expect("the shard is free")
    }

    pub(crate) async fn state(&self, batch: &BatchId) -> BatchRow {
        self.store.batch_by_id(batch).await.unwrap().unwrap()
    }
}

pub(crate) fn new_batch(tenant: &TenantId) -> NewBatch {
    NewBatch {
        id: BatchId::generate(),
        tenant: tenant.clone(),
        endpoint: Endpoint::ChatCompletions,
        input_file_id: FileId::generate(),
        window_secs: 86_400,
        metadata: Some(r#"{"k":"v"}"#.to_owned()),
        output_expires_secs: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        terms: Terms::default(),
        tokens: vec![("m".to_owned(), 1_000)],
        dedup: false,
        redrive_of: None,
    }
}

pub(crate) fn new_file(tenant: &TenantId, purpose: &str) -> NewFile {
    NewFile {
        id: FileId::generate(),
        tenant: tenant.clone(),
        purpose: purpose.to_owned(),
        filename: "lines.jsonl".to_owned(),
        bytes: 12,
        blob: format!("f/{}", FileId::generate()),
        crc32c: None,
        index: None,
        expires_at_ms: None,
    }
}

pub(crate) fn new_shards(line_counts: &[i64]) -> Vec<NewShard> {
    let mut first_line = 0;
    let shard = |(ordinal, line_count): (i64, &i64)| {
        first_line += line_count;
        NewShard {
            id: ShardId::generate(),
            ordinal,
            first_line: first_line - line_count,
            line_count: *line_count,
            byte_start: (first_line - line_count) * 100,
            byte_end: first_line * 100,
            tokens: line_count * TOKENS_A_LINE,
        }
    };
    (0..).zip(line_counts).map(shard).collect()
}

/// A segment in which all of `lines` were answered.
pub(crate) fn segment(of: usize, seq: i64, lines: &[usize]) -> NewSegment {
    let mut done = Bitmap::new(of);
    lines.iter().for_each(|line| done.set(*line));
    let completed = i64::try_from(lines.len()).unwrap();
    NewSegment {
        seq,
        ok: Some(SegmentBlob { path: format!("s/{seq}.ok"), crc32c: None }),
        err: None,
        done,
        counts: LineCounts { completed, ..LineCounts::default() },
        usage: Usage { input: 10, output: 5, cached: 2, reasoning: 1, ..Usage::default() },
        asked: Bitmap::new(of),
        deduplicated: 0,
        ledger: vec![],
    }
}
