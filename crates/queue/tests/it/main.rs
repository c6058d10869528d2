//! Every doorbell on its real server, as it is and under chaos.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod outage;
mod pubsub;
mod pubsub_letters;
mod pubsub_outage;
mod rabbitmq;

use futures::FutureExt;
use queue::{
    BatchEvents, Doorbell, DoorbellSettings, Embedded, EventsSettings,
    chaos::{Chaos, Faults},
    conformance,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use store::Store;
use tempfile::TempDir;

/// A new SQLite file in `folder`.
async fn sqlite(folder: &TempDir) -> Store {
    let path = folder.path().join(format!("{}.db", uuid::Uuid::now_v7().simple()));
    let store = Store::open(&format!("sqlite://{}", path.display())).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// A doorbell in a new SQLite file of `folder`.
async fn on_sqlite(folder: &TempDir) -> Arc<dyn Doorbell> {
    Arc::new(Embedded::new(sqlite(folder).await))
}

/// Runs `test` with a maker of doorbells, each in a new PostgreSQL database that is gone afterwards.
async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Databases) -> F) {
    let server = std::env::var_os("DATABASE_URL").and_then(|url| url.into_string().ok());
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let databases = Databases { server, made: Arc::default() };

    then(test(databases.clone()), databases.drop_all()).await;
}

/// Runs `test`, then `tidy` whatever came of it.
async fn then(test: impl Future<Output = ()>, tidy: impl Future<Output = ()>) {
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    tidy.await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[derive(Clone)]
struct Databases {
    server: String,
    made: Arc<Mutex<Vec<(String, Store)>>>,
}

impl Databases {
    async fn doorbell(&self) -> Arc<dyn Doorbell> {
        let name = format!("tandem_test_{}", uuid::Uuid::now_v7().simple());
        self.execute(&format!("CREATE DATABASE {name}")).await;
        let store = Store::open(&format!("{}/{name}", self.server.rsplit_once('/').unwrap().0)).await.unwrap();
        store.migrate().await.unwrap();
        self.made.lock().unwrap().push((name, store.clone()));
        Arc::new(Embedded::new(store))
    }

    async fn drop_all(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for (name, store) in made {
            store.close().await;
            self.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    async fn execute(&self, sql: &str) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.server).await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

fn chaotic(inner: Arc<dyn Doorbell>) -> Arc<dyn Doorbell> {
    static SEED: AtomicU64 = AtomicU64::new(1);
    Arc::new(Chaos::new(inner, Faults::default(), SEED.fetch_add(1, Ordering::Relaxed)))
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_a_doorbell() {
    let folder = TempDir::new().unwrap();

    conformance::suite(|| on_sqlite(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_prompt() {
    let folder = TempDir::new().unwrap();

    conformance::prompt(|| on_sqlite(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_under_chaos_is_still_a_doorbell() {
    let folder = TempDir::new().unwrap();

    conformance::suite(|| async { chaotic(on_sqlite(&folder).await) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_a_doorbell() {
    on_postgres(|databases| async move { conformance::suite(|| databases.doorbell()).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_prompt() {
    on_postgres(|databases| async move { conformance::prompt(|| databases.doorbell()).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_under_chaos_is_still_a_doorbell() {
    on_postgres(|databases| async move {
        conformance::suite(|| async { chaotic(databases.doorbell().await) }).await;
    })
    .await;
}

#[tokio::test]
async fn batch_events_go_to_one_broker() {
    let folder = TempDir::new().unwrap();
    let settings = EventsSettings {
        batch_exchange: Some("tandem.events".to_owned()),
        batch_topic: Some("projects/acme/topics/events".to_owned().try_into().unwrap()),
        ..EventsSettings::default()
    };

    let made = BatchEvents::new(&settings, &DoorbellSettings::default(), sqlite(&folder).await);

    let error = made.err().expect("one of the two");
    assert!(error.message().contains("events.batch_topic"), "{error}");
}
