//! What happens to the database, or to the way there.

use crate::{
    cluster::{Cluster, LINES, PACE, Seen},
    rows,
};
use e2e::{Database, Link, Site};
use servers::Postgres;
use std::time::Duration;
use tokio::time::sleep;

rows! {
    the_way_to_the_database_is_cut, "a worker's connections to the database break, for 10 s", "it stops by itself; others go on", "12, 60";
    the_way_to_the_database_is_slow, "what a worker says to the database arrives 0.2 s late, for 20 s", "it is slower; others go on", "12, 60";
    the_database_falls_silent, "a worker hears nothing of the database for 20 s (half-open)", "it stops by itself; others go on", "12, 60";
    the_answer_to_a_commit_is_lost, "the database commits a checkpoint and its answer is lost", "the repeated commit is the same", "12";
    the_database_restarts, "all connections end, none is taken for 10 s", "work goes on by itself", "12, 60";
    the_database_server_is_killed, "PostgreSQL is killed with SIGKILL, and started again after 10 s", "what it had answered is there; work goes on by itself", "12, 60";
    the_database_fails_over_to_a_standby, "PostgreSQL is killed with SIGKILL, and its standby takes its place after 10 s", "work goes on by itself on the new server", "12, 60";
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

fn postgres() -> Postgres {
    Postgres::start_anywhere().expect("a PostgreSQL server: sudo apt-get install postgresql")
}

async fn the_database_server_is_killed() -> Seen {
    let mut server = postgres();
    let site = Site::on_database(&server.url(), PACE).await;
    let cluster = on(site).await;

    server.kill();
    sleep(Duration::from_secs(10)).await;
    server.start();

    cluster.completed().await
}

async fn the_database_fails_over_to_a_standby() -> Seen {
    let mut server = postgres();
    let link = Link::to(server.address()).await;
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", link.address());
    let site = Site::on_database(&url, PACE).await;
    let mut standby = server.standby();
    // Nothing is answered before the standby has it, as with a failover of Cloud SQL.
    site.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
    site.execute("SELECT pg_reload_conf()");
    let cluster = on(site).await;

    server.kill();
    sleep(Duration::from_secs(10)).await;
    standby.promote();
    link.turn_to(standby.address());
    cluster.site.execute("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.site.execute("SELECT pg_reload_conf()");

    cluster.completed().await
}

/// Three workers at work on this site.
async fn on(site: Site) -> Cluster {
    let upstream = format!("{}/v1", site.upstream_root());
    Cluster::on(site, &upstream, &[&[], &[], &[]], "").await.submit(LINES).await
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
