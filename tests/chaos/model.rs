//! What model servers do, or what happens on the way there. None of it may cost a line its answer.

use crate::{
    cluster::{Cluster, LINES, PACE, Seen},
    rows,
};
use e2e::{Database, Site};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

rows! {
    the_model_is_overloaded, "every call is refused with 503 for 5 s", "no line is charged", "54, 55";
    the_model_asks_to_wait, "every call is refused with 429 and Retry-After for 5 s", "no line is charged", "54";
    the_model_hangs, "one call in ten is never answered, for 5 s", "the deadline of the call ends it", "54";
    answers_are_cut, "one answer in five breaks in the middle, for 5 s", "no half answer is a record", "54, 61";
    connections_are_reset, "every connection is reset for 5 s", "failing together charges nobody", "56";
    the_engine_dies, "every call ends with the engine's death for 5 s", "failing together charges nobody", "56, 62";
    the_way_to_the_model_is_slow, "each call reaches the model server half a second late, for 10 s", "slower, and nothing else", "54";
    the_model_can_not_be_reached, "the way to the model server is cut for 10 s", "no line is charged", "54";
}

async fn the_way_to_the_model_is_slow() -> Seen {
    let site = Site::new(Database::Postgres, PACE).await;
    let (link, upstream) = site.link_to_model().await;
    let cluster = Cluster::on(site, &upstream, &[&[], &[], &[]], "").await.submit(LINES).await;

    link.slow_down(Duration::from_millis(500));
    sleep(Duration::from_secs(10)).await;
    link.restore();

    cluster.completed().await
}

/// A fault for a while.
async fn through(fault: &str, probability: f64) -> Seen {
    let cluster = Cluster::with_workers(&[&[], &[], &[]], "total_ms = 3000\n").await.submit(LINES).await;

    cluster.arm(json!({"fault": fault, "probability": probability})).await;
    sleep(Duration::from_secs(5)).await;
    cluster.disarm().await;

    cluster.completed().await
}

async fn the_model_is_overloaded() -> Seen {
    through("status=503", 1.0).await
}

async fn the_model_asks_to_wait() -> Seen {
    through("status=429;retry_after=1", 1.0).await
}

async fn the_model_hangs() -> Seen {
    through("hang", 0.1).await
}

async fn answers_are_cut() -> Seen {
    through("cut=5", 0.2).await
}

async fn connections_are_reset() -> Seen {
    through("reset", 1.0).await
}

async fn the_engine_dies() -> Seen {
    through("error=5", 1.0).await
}

async fn the_model_can_not_be_reached() -> Seen {
    let site = Site::new(Database::Postgres, PACE).await;
    let (link, upstream) = site.link_to_model().await;
    let cluster = Cluster::on(site, &upstream, &[&[], &[], &[]], "").await.submit(LINES).await;

    link.cut();
    sleep(Duration::from_secs(10)).await;
    link.restore();

    cluster.completed().await
}
