//! What happens to the objects.

use crate::{
    cluster::{Cluster, LINES, PACE, Seen},
    rows,
};
use bucket::{Bucket, Fault, Harm};
use e2e::{Database, Site};
use http::{Method, StatusCode};
use std::time::Duration;
use tokio::time::sleep;

rows! {
    objects_can_not_be_written, "no object can be written or read for 10 s", "finished lines wait; dispatch pauses", "28";
    the_blob_store_answers_5xx, "the blob store answers everything with 503 for 10 s, then every third request", "finished lines wait; files are whole", "28";
    the_blob_store_is_slow, "each answer of the blob store takes a second, for 20 s", "finished lines wait; dispatch pauses", "28";
    the_blob_store_tears_a_write, "the blob store keeps half of every fourth write, loses answers and breaks off reads", "what was torn is written again; files are whole", "28";
}

async fn objects_can_not_be_written() -> Seen {
    let cluster = Cluster::under_way().await;
    let (blobs, away) = (cluster.site.folder().join("blobs"), cluster.site.folder().join("away"));

    // A file in place of the folder: every path below it is an error.
    std::fs::rename(&blobs, &away).unwrap();
    std::fs::write(&blobs, "not a folder").unwrap();
    sleep(Duration::from_secs(10)).await;
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&away, &blobs).unwrap();

    cluster.completed().await
}

/// A batch under way whose blobs are in a bucket of the stand-in.
async fn in_a_bucket() -> (Bucket, Cluster) {
    let bucket = Bucket::start().await.unwrap();
    let endpoint = bucket.endpoint();
    let site = Site::new(Database::Postgres, PACE).await.with_environment(&[
        ("TANDEM__DATA__BLOBS_URL", "gs://tandem/blobs"),
        ("TANDEM__DATA__BLOBS_ENDPOINT", &endpoint),
    ]);
    let upstream = format!("{}/v1", site.upstream_root());
    let cluster = Cluster::on(site, &upstream, &[&[], &[], &[]], "").await;
    (bucket, cluster.submit(LINES).await)
}

async fn the_blob_store_answers_5xx() -> Seen {
    let (bucket, cluster) = in_a_bucket().await;
    let refuse = Harm::Refuse(StatusCode::SERVICE_UNAVAILABLE);
    let everything = Fault { harm: refuse, method: None, path: String::new(), every: 1, times: None };

    bucket.arm(everything.clone());
    sleep(Duration::from_secs(10)).await;
    bucket.disarm();
    bucket.arm(everything.every(3));

    let seen = cluster.completed().await;
    assert!(bucket.harmed() > 0 && bucket.composed() > 0);
    seen
}

async fn the_blob_store_is_slow() -> Seen {
    let (bucket, cluster) = in_a_bucket().await;
    let slow = Harm::Slow(Duration::from_secs(1));

    bucket.arm(Fault { harm: slow, method: None, path: String::new(), every: 1, times: None });
    sleep(Duration::from_secs(20)).await;
    bucket.disarm();

    let seen = cluster.completed().await;
    assert!(bucket.harmed() > 0 && bucket.composed() > 0);
    seen
}

async fn the_blob_store_tears_a_write() -> Seen {
    let (bucket, cluster) = in_a_bucket().await;

    bucket.arm(Fault::of(Harm::Tear, Method::PUT).every(4));
    bucket.arm(Fault::of(Harm::LoseAnswer, Method::POST).every(2));
    bucket.arm(Fault::of(Harm::BreakOff, Method::GET).every(4));

    let seen = cluster.completed().await;
    assert!(bucket.harmed() > 0 && bucket.composed() > 0);
    seen
}
