//! What happens to the objects.

use crate::{
    cluster::{Cluster, Seen},
    rows,
};
use std::time::Duration;
use tokio::time::sleep;

rows! {
    objects_can_not_be_written, "no object can be written or read for 10 s", "finished lines wait; dispatch pauses", "28";
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
