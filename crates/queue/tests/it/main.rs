//! The embedded doorbell on both databases, as it is and under chaos.

use queue::{
    Doorbell, Embedded,
    chaos::{Chaos, Faults},
    conformance,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use store::Store;
use tempfile::TempDir;

/// A doorbell in a new SQLite file of `folder`.
async fn on_sqlite(folder: &TempDir) -> Arc<dyn Doorbell> {
    let path = folder.path().join(format!("{}.db", uuid::Uuid::now_v7().simple()));
    let store = Store::open(&format!("sqlite://{}", path.display())).await.unwrap();
    store.migrate().await.unwrap();
    Arc::new(Embedded::new(store))
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
