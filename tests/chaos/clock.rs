//! Clocks that disagree.

use crate::{
    cluster::{Cluster, LINES, Seen},
    rows,
};
use std::path::Path;

rows! {
    clocks_disagree, "one worker's clock is 5 min ahead, another's 5 min behind", "leases follow the database's clock", "18";
}

/// Where Debian keeps the library of its package `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

async fn clocks_disagree() -> Seen {
    assert!(Path::new(FAKETIME).exists(), "{FAKETIME} is missing: apt-get install faketime");
    let shift = |by: &'static str| [("LD_PRELOAD", FAKETIME), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];

    let cluster = Cluster::with_workers(&[&shift("+5m"), &shift("-5m"), &[]], "").await.submit(LINES).await;

    let seen = cluster.completed().await;
    assert_eq!(seen.answered, LINES as u64, "no lease was taken for lapsed");
    seen
}
