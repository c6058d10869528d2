//! What happens to the database, or to the way there.

use crate::{
    cluster::{Cluster, LINES, PACE, Seen},
    rows,
};
use e2e::{Database, Link, Site};
use std::time::Duration;
use tokio::time::sleep;

rows! {
    the_way_to_the_database_is_cut, "a worker's connections to the database break, for 10 s", "it stops by itself; others go on", "12, 60";
    the_way_to_the_database_is_slow, "what a worker says to the database arrives 0.2 s late, for 20 s", "it is slower; others go on", "12, 60";
    the_database_falls_silent, "a worker hears nothing of the database for 20 s (half-open)", "it stops by itself; others go on", "12, 60";
    the_answer_to_a_commit_is_lost, "the database commits a checkpoint and its answer is lost", "the repeated commit is the same", "12";
    the_database_restarts, "all connections end, none is taken for 10 s", "work goes on by itself", "12, 60";
    the_database_fails_over_to_read_only, "every new connection is read-only for 10 s", "no pool stays on a read-only connection", "60";
}

/// One worker behind a link to the database and two beside it, at work.
async fn behind_a_link() -> (Link, Cluster) {
    let site = Site::new(Database::Postgres, PACE).await;
    let (link, url) = site.link_to_database().await;
    let upstream = format!("{}/v1", site.upstream_root());
    let far: &[_] = &[("TANDEM__DATA__DATABASE_URL", url.as_str())];
    let cluster = Cluster::on(site, &upstream, &[far, &[], &[]], "").await;
    (link, cluster.submit(LINES).await)
}

async fn the_way_to_the_database_is_cut() -> Seen {
    let (link, cluster) = behind_a_link().await;

    link.cut();
    sleep(Duration::from_secs(10)).await;
    link.restore();

    cluster.completed().await
}

async fn the_way_to_the_database_is_slow() -> Seen {
    let (link, cluster) = behind_a_link().await;

    link.slow_down(Duration::from_millis(200));
    sleep(Duration::from_secs(20)).await;
    link.restore();

    cluster.completed().await
}

async fn the_database_falls_silent() -> Seen {
    let (link, cluster) = behind_a_link().await;

    link.fall_silent();
    sleep(Duration::from_secs(20)).await;
    link.restore();

    cluster.completed().await
}

async fn the_answer_to_a_commit_is_lost() -> Seen {
    let (link, cluster) = behind_a_link().await;

    link.lose_the_answer_to("COMMIT");
    link.silence().await;
    link.restore();

    cluster.completed().await
}

async fn the_database_restarts() -> Seen {
    let cluster = Cluster::under_way().await;

    cluster.site.administer("ALTER DATABASE {} ALLOW_CONNECTIONS false");
    cluster.site.end_connections();
    sleep(Duration::from_secs(10)).await;
    cluster.site.administer("ALTER DATABASE {} ALLOW_CONNECTIONS true");

    cluster.completed().await
}

async fn the_database_fails_over_to_read_only() -> Seen {
    let cluster = Cluster::under_way().await;

    cluster.site.administer("ALTER DATABASE {} SET default_transaction_read_only = on");
    cluster.site.end_connections();
    sleep(Duration::from_secs(10)).await;
    // Connections of meanwhile stay read-only for ever.
    cluster.site.administer("ALTER DATABASE {} RESET default_transaction_read_only");

    cluster.completed().await
}
