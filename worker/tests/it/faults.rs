//! What breaks without a line being lost or answered twice into the files.

use crate::bench::{Bench, messages};
use async_trait::async_trait;
use domain::{BatchId, BatchStatus, Bitmap, Error, LineCounts, Pointer, Result, Usage, WorkerId};
use futures::stream::BoxStream;
use queue::{
    Delivery, Doorbell,
    chaos::{Chaos, Faults},
};
use std::sync::Arc;
use store::{CommitResult, NewSegment, SegmentBlob, ShardRow};

#[tokio::test(flavor = "multi_thread")]
async fn a_doorbell_that_loses_and_doubles_loses_no_line() {
    let mut bench = Bench::new().await;
    bench.doorbell = Arc::new(Chaos::new(Arc::clone(&bench.doorbell), Faults::default(), 7));
    let _workers = [bench.work(), bench.work()];

    let batch = bench.batch(&messages("ok", 300)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 300).await.output.len(), 300);
}

/// A broker that is down.
pub(crate) struct Dead;

#[async_trait]
impl Doorbell for Dead {
    async fn ring(&self, _: &[Pointer]) -> Result<()> {
        Err(Error::unavailable("down"))
    }

    async fn listen(&self, _: usize) -> Result<BoxStream<'static, Delivery>> {
        Err(Error::unavailable("down"))
    }

    async fn depth(&self) -> Result<Option<u64>> {
        Err(Error::unavailable("down"))
    }

    async fn health(&self) -> Result<()> {
        Err(Error::unavailable("down"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_doorbell_the_work_is_found_by_polling() {
    let mut bench = Bench::new().await;
    bench.doorbell = Arc::new(Dead);
    let _worker = bench.work();

    let batch = bench.batch(&messages("ok", 150)).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 150).await.output.len(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lease_writes_nothing() {
    let bench = Bench::new().await;
    let worker = bench.work();
    let batch = bench.batch(&messages("hang", 10)).await;
    bench.until(&batch, |row| row.planned_lines == 10).await;
    worker.stop().await;
    let shard = bench.store.shards(&batch).await.unwrap().remove(0);
    let stale = bench.store.claim_shard(&shard.id, &WorkerId::generate(), -1).await.unwrap().unwrap();

    let _worker = bench.work();
    bench.until_shard(&batch, |shard| shard.epoch > stale.epoch).await;

    let late = bench.store.commit_segment(&stale, &one_line(10)).await.unwrap();

    assert_eq!(late, CommitResult::LeaseLost);
    bench.model.let_go();
    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 10).await.output.len(), 10);
}

/// A segment with the first line of a shard of `lines`.
fn one_line(lines: usize) -> NewSegment {
    let mut done = Bitmap::new(lines);
    done.set(0);
    let counts = LineCounts { completed: 1, ..LineCounts::default() };
    let usage = Usage::default();
    let ok = Some(SegmentBlob::of("b/stale".to_owned(), b""));
    NewSegment {
        seq: 0,
        ok,
        err: None,
        done,
        counts,
        usage,
        asked: Bitmap::new(lines),
        deduplicated: 0,
        ledger: vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_taken_over() {
    let bench = Bench::new().await;
    let worker = bench.work();
    let contents = [messages("ok", 40), messages("hang", 60)].concat();
    let batch = bench.batch(&contents).await;
    bench.until(&batch, |row| row.counts.completed == 40).await;
    bench.eventually(async || told(&bench, &batch).await == 60).await;

    worker.kill().await;
    bench.model.let_go();
    let _worker = bench.work();

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 100).await.output.len(), 100);
    assert_eq!(bench.model.calls("ok 0"), 1, "what was checkpointed is not asked again");
    assert_eq!((batch.redone_requests, bench.model.all_calls()), (60, 160));
}

/// Calls that the database knows to be under way.
async fn told(bench: &Bench, batch: &BatchId) -> usize {
    let shards = bench.store.shards(batch).await.unwrap();
    let under_way = |shard: &ShardRow| {
        let mut asked = shard.asked.clone().unwrap_or_else(|| Bitmap::new(shard.done.len()));
        asked.subtract(&shard.done);
        asked.count()
    };
    shards.iter().map(under_way).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_hands_its_shards_over_at_once() {
    let bench = Bench::new().await;
    let worker = bench.work();
    let batch = bench.batch(&messages("hang", 50)).await;
    bench.eventually(async || bench.model.all_calls() == 50).await;

    worker.stop().await;
    let shards = bench.store.shards(&batch).await.unwrap();
    bench.model.let_go();
    let _worker = bench.work();

    assert!(shards.iter().all(|shard| shard.status == "runnable" && shard.crash_count == 0));
    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 50).await.output.len(), 50);
    assert_eq!((batch.redone_requests, bench.model.all_calls()), (50, 100), "what it gave up is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_goes_waits_for_calls_under_way_and_not_for_those_that_wait_for_room() {
    let mut bench = Bench::new().await;
    bench.settings.drain_grace_ms = 3_600_000;
    let worker = bench.work();
    let batch = bench.batch(&[messages("hang", 3), messages("queued", 5)].concat()).await;
    bench.eventually(async || bench.model.in_flight().len() == 8).await;

    let ended = async {
        bench.eventually(async || bench.model.in_flight().len() == 3).await;
        assert!(bench.model.in_flight().iter().all(|message| message.starts_with("hang")));
        bench.model.let_go();
    };
    tokio::join!(worker.stop(), ended);
    let answered = bench.store.batch_by_id(&batch).await.unwrap().unwrap().counts.completed;
    let _worker = bench.work();

    assert_eq!(answered, 3);
    let batch = bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!(bench.files(&batch, 8).await.output.len(), 8);
    assert_eq!(batch.redone_requests, 0, "no model server was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_tries_take_a_tenth_of_the_calls_and_the_others_go_on() {
    let mut bench = Bench::new().await;
    bench.settings.concurrency = 10;
    let _worker = bench.work();
    let contents = [messages("shaky", 3), messages("ok", 90)].concat();
    let batch = bench.batch(&contents).await;
    bench.until(&batch, |row| row.counts.completed == 90).await;

    for answered in 91..=93 {
        let again = async || bench.model.in_flight().len() == 1;
        bench.eventually(again).await;
        bench.model.answer(&bench.model.in_flight());
        bench.until(&batch, |row| row.counts.completed == answered).await;
    }

    bench.end(&batch, BatchStatus::Completed).await;
    assert_eq!((bench.model.all_calls(), bench.model.most_again()), (96, 1));
}

/// Two shards: one whose lines take long, and one with a line that kills every worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_kills_workers_is_found_by_halving_and_no_neighbour_pays_for_it() {
    let mut bench = Bench::new().await;
    bench.settings.lease_ms = 1_000;
    let lethal = "lethal 0";
    let contents = [messages("hang", 32), messages("before", 16), vec![lethal.to_owned()], messages("ok", 15)].concat();
    let batch = bench.batch(&contents).await;

    let (mut kills, mut ended) = (0, false);
    while !ended {
        let worker = bench.work();
        bench
            .eventually(async || {
                ended = bench.store.batch_by_id(&batch).await.unwrap().unwrap().status.is_terminal();
                ended || bench.model.calls(lethal) > kills
            })
            .await;
        if !ended {
            kills += 1;
            worker.kill().await;
        }
        if kills == 2 {
            bench.model.let_go();
        }
    }

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    let files = bench.files(&batch, 64).await;
    assert_eq!((files.output.len(), files.error.len()), (63, 1));
    assert_eq!(files.error[0]["custom_id"], "c48");
    assert_eq!(files.error[0]["error"]["code"], "request_quarantined");
    // Two among all, five halvings of 32 lines at most, and the line alone three times.
    assert!((5..=9).contains(&kills), "{kills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_crashes_workers_is_quarantined_and_its_neighbours_answered() {
    let bench = Bench::new().await;
    let _worker = bench.work();
    let mut contents = messages("ok", 20);
    contents[4] = "panic".to_owned();

    let batch = bench.batch(&contents).await;

    let batch = bench.end(&batch, BatchStatus::Completed).await;
    let files = bench.files(&batch, 20).await;
    assert_eq!((files.output.len(), files.error.len()), (19, 1));
    assert_eq!(files.error[0]["error"]["code"], "request_quarantined");
    // Twice among its neighbours, then three times alone.
    assert_eq!(bench.model.calls("panic"), 5);
}
