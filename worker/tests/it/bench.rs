//! A platform for one test: database, blobs, doorbell and a model, and batches put into it.

use crate::model::{MODEL, Model};
use bytes::Bytes;
use chassis::drain::Drain;
use domain::{BatchId, BatchStatus, Endpoint, FileId, Pointer, PointerKind, Result, TenantId, Terms};
use queue::{Doorbell, Embedded};
use serde_json::{Value, json};
use servers::Database;
use std::{path::Path, sync::Arc, time::Duration};
use store::{BatchRow, Blobs, Ingest, IngestLimits, NewBatch, NewFile, ShardRow, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use worker::{Worker, WorkerSettings};

/// How long a test waits for something that should happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The trace of every batch.
pub(crate) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) doorbell: Arc<dyn Doorbell>,
    pub(crate) model: Arc<Model>,
    pub(crate) settings: WorkerSettings,
    pub(crate) tenant: TenantId,
    pub(crate) blobs: Blobs,
    folder: TempDir,
    _database: Option<Database>,
}

/// A worker that runs.
pub(crate) struct Running {
    drain: Drain,
    task: JoinHandle<Result<()>>,
}

/// Both files of a batch, as JSON.
pub(crate) struct Files {
    pub(crate) output: Vec<Value>,
    pub(crate) error: Vec<Value>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("t.db").display());
        Self::over(folder, &url, None).await
    }

    /// The same on a PostgreSQL database of its own.
    pub(crate) async fn on_postgres() -> Self {
        let database = Database::create("tandem_worker");
        let url = database.url();
        Self::over(TempDir::new().unwrap(), &url, Some(database)).await
    }

    async fn over(folder: TempDir, url: &str, database: Option<Database>) -> Self {
        let store = Store::open(url).await.unwrap();
        store.migrate().await.unwrap();
        let blobs = Blobs::open(&format!("file://{}", folder.path().join("blobs").display())).unwrap();
        let tenant = store.create_tenant("acme").await.unwrap().id;
        let doorbell: Arc<dyn Doorbell> = Arc::new(Embedded::new(store.clone()));
        Self {
            store,
            doorbell,
            model: Arc::new(Model::new()),
            settings: quick(),
            tenant,
            blobs,
            folder,
            _database: database,
        }
    }

    /// Starts one more worker.
    pub(crate) fn work(&self) -> Running {
        let drain = Drain::new(Duration::from_secs(5));
        let worker = Worker::new(
            self.store.clone(),
            self.blobs.clone(),
            Arc::clone(&self.doorbell),
            Arc::clone(&self.model) as _,
            self.settings.clone(),
        );
        Running { task: tokio::spawn(worker.run(drain.clone())), drain }
    }

    /// Puts a batch of chat lines in and rings for it.
    pub(crate) async fn batch(&self, contents: &[String]) -> BatchId {
        self.batch_of(&lines(contents), 86_400).await
    }

    /// Puts a batch of this input in and rings for it.
    pub(crate) async fn batch_of(&self, input: &str, window_secs: i64) -> BatchId {
        self.batch_like(input, |new| NewBatch { window_secs, ..new }).await
    }

    /// Puts a batch of this input in, with whatever `arrange` makes different, and rings for it.
    pub(crate) async fn batch_like(&self, input: &str, arrange: impl FnOnce(NewBatch) -> NewBatch) -> BatchId {
        let file = self.upload(input).await;
        let batch = NewBatch {
            id: BatchId::generate(),
            tenant: self.tenant.clone(),
            endpoint: Endpoint::ChatCompletions,
            input_file_id: file,
            window_secs: 86_400,
            metadata: None,
            output_expires_secs: None,
            traceparent: Some(TRACEPARENT.to_owned()),
            terms: Terms::default(),
            tokens: Vec::new(),
            dedup: false,
            redrive_of: None,
        };
        let batch = self.store.insert_batch(arrange(batch)).await.unwrap().id;
        // A lost ring is no reason to fail: some tests lose them on purpose.
        let _ = self.doorbell.ring(&[Pointer::new(PointerKind::Validate, batch.as_str())]).await;
        batch
    }

    async fn upload(&self, input: &str) -> FileId {
        let id = FileId::generate();
        let blob = format!("f/{id}");
        let mut ingest = Ingest::new(&self.blobs, &blob, IngestLimits::default());
        ingest.feed(Bytes::copy_from_slice(input.as_bytes())).await.unwrap();
        let index = ingest.finish().await.unwrap();
        let file = NewFile {
            id: id.clone(),
            tenant: self.tenant.clone(),
            purpose: "batch".to_owned(),
            filename: "input.jsonl".to_owned(),
            bytes: i64::try_from(input.len()).unwrap(),
            blob,
            crc32c: None,
            index: Some(serde_json::to_string(&index).unwrap()),
            expires_at_ms: None,
        };
        self.store.insert_file(&file).await.unwrap();
        id
    }

    /// Waits until the batch is as it should be.
    pub(crate) async fn until(&self, batch: &BatchId, is_so: impl Fn(&BatchRow) -> bool) -> BatchRow {
        let looking = async {
            loop {
                let row = self.store.batch_by_id(batch).await.unwrap().unwrap();
                if is_so(&row) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the batch gets there in time")
    }

    /// Waits until the first shard of the batch is as it should be.
    pub(crate) async fn until_shard(&self, batch: &BatchId, is_so: impl Fn(&ShardRow) -> bool) {
        let looking = async {
            while !self.store.shards(batch).await.unwrap().first().is_some_and(&is_so) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the shard gets there in time");
    }

    /// Waits until the world is as it should be.
    pub(crate) async fn eventually(&self, mut is_so: impl AsyncFnMut() -> bool) {
        let looking = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("it gets there in time");
    }

    /// Waits until the model was asked this.
    pub(crate) async fn until_asked(&self, content: &str) {
        self.eventually(async || self.model.calls(content) > 0).await;
    }

    /// Waits for the end of the batch.
    pub(crate) async fn end(&self, batch: &BatchId, status: BatchStatus) -> BatchRow {
        let row = self.until(batch, |row| row.status.is_terminal()).await;
        assert_eq!(row.status, status);
        row
    }

    /// Reads both files and checks that each of the first `total` lines has exactly one record, in order.
    pub(crate) async fn files(&self, batch: &BatchRow, total: usize) -> Files {
        let output = self.read(batch.output_file_id.as_ref()).await;
        let error = self.read(batch.error_file_id.as_ref()).await;
        let (left, right) = (numbers(&output), numbers(&error));
        assert!(left.is_sorted() && right.is_sorted(), "records are in input order");
        let mut all: Vec<_> = left.into_iter().chain(right).collect();
        all.sort_unstable();
        assert_eq!(all, (0..total).collect::<Vec<_>>(), "each line has one record");
        Files { output, error }
    }

    /// Whether the bytes of an uploaded file are there.
    pub(crate) async fn has_content(&self, file: &FileId) -> bool {
        self.blobs.size(&format!("f/{file}")).await.unwrap().is_some()
    }

    /// Changes a blob behind everybody's back.
    pub(crate) fn overwrite(&self, path: &str, content: &str) {
        std::fs::write(self.folder.path().join("blobs").join(path), content).unwrap();
    }

    /// How many blobs the batch has.
    pub(crate) fn blobs_of(&self, batch: &BatchId) -> usize {
        count_files(&self.folder.path().join("blobs/b").join(batch.as_str()))
    }

    async fn read(&self, file: Option<&FileId>) -> Vec<Value> {
        let Some(file) = file else { return Vec::new() };
        let file = self.store.file(&self.tenant, file).await.unwrap().expect("the file of the batch is there");
        let bytes = self.blobs.get(&file.blob).await.unwrap();
        assert_eq!(file.bytes, i64::try_from(bytes.len()).unwrap());
        assert_eq!(bytes.last(), Some(&b'\n'), "every line ends");
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Running {
    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the worker stops in time");
        ended.expect("the worker does not panic").expect("the worker ends well");
    }

    /// Stops it as a crash does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|end| end.is_cancelled()));
    }
}

/// Settings under which a test need not wait.
fn quick() -> WorkerSettings {
    WorkerSettings {
        lease_ms: 2_000,
        heartbeat_ms: 200,
        poll_ms: 100,
        sweep_ms: 200,
        flush_lines: 16,
        flush_ms: 50,
        shard_lines: 32,
        window: 3,
        expiry_grace_ms: 200,
        drain_grace_ms: 100,
        ..WorkerSettings::default()
    }
}

fn count_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// An input with a chat line for each message.
pub(crate) fn lines(contents: &[String]) -> String {
    let line = |(number, content): (usize, &String)| {
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": content}]});
        let line =
            json!({"custom_id": format!("c{number}"), "method": "POST", "url": "/v1/chat/completions", "body": body});
        format!("{line}\n")
    };
    contents.iter().enumerate().map(line).collect()
}

/// `count` messages that begin with `word`.
pub(crate) fn messages(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{word} {number}")).collect()
}

fn numbers(records: &[Value]) -> Vec<usize> {
    records.iter().map(|record| record["custom_id"].as_str().unwrap()[1..].parse().unwrap()).collect()
}
