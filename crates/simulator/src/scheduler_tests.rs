//! The scheduler without time: who starts, who waits, who is sent back.

use futures::FutureExt;

use super::{Arc, BLOCK_TOKENS, Load, Ordering, Prompt, QueueFull, Scheduler, Seat};
use crate::settings::SimulatorSettings;

fn scheduler(max_num_seqs: usize, blocks: usize, max_num_queued: Option<usize>) -> Arc<Scheduler> {
    let kv_tokens = blocks * BLOCK_TOKENS;
    Scheduler::new(&SimulatorSettings { max_num_seqs, kv_tokens, max_num_queued, ..SimulatorSettings::default() })
}

fn prompt(tokens: usize) -> Prompt {
    Prompt::from_text("word ".repeat(tokens), 0)
}

fn enter(scheduler: &Arc<Scheduler>, priority: i64, tokens: usize) -> Seat {
    scheduler.enter(priority, &prompt(tokens)).unwrap()
}

#[test]
fn the_waiting_start_by_priority_and_then_by_arrival() {
    let scheduler = scheduler(1, 100, None);
    let running = enter(&scheduler, 0, 5);
    let late = enter(&scheduler, 1, 5);
    let first = enter(&scheduler, 0, 5);
    let urgent = enter(&scheduler, -1, 5);
    let second = enter(&scheduler, 0, 5);

    let mut order = Vec::new();
    let mut ending =
        vec![("running", running), ("late", late), ("first", first), ("urgent", urgent), ("second", second)];
    while let Some(position) = ending.iter().position(|(_, seat)| seat.is_running()) {
        order.push(ending.remove(position).0);
    }

    assert_eq!(order, ["running", "urgent", "first", "second", "late"]);
}

#[test]
fn a_sequence_that_would_wait_is_refused_when_the_queue_is_full() {
    let scheduler = scheduler(1, 100, Some(1));
    let _running = enter(&scheduler, 0, 5);
    let _waiting = enter(&scheduler, 0, 5);

    let third = scheduler.enter(0, &prompt(5));

    assert_eq!(third.err(), Some(QueueFull));
    assert_eq!(scheduler.totals.rejections.load(Ordering::Relaxed), 1);
}

#[test]
fn without_a_queue_the_free_places_can_be_taken() {
    let scheduler = scheduler(1, 100, Some(0));

    let seat = scheduler.enter(0, &prompt(5));

    assert!(seat.unwrap().is_running());
}

#[test]
fn a_growing_sequence_preempts_the_last_one() {
    let scheduler = scheduler(2, 3, None);
    let first = enter(&scheduler, 0, 10);
    let second = enter(&scheduler, 0, 20);

    first.grow(17);

    assert!(first.is_running());
    assert!(!second.is_running());
    assert_eq!(scheduler.totals.preemptions.load(Ordering::Relaxed), 1);
}

#[test]
fn a_preempted_sequence_runs_again_when_there_is_room() {
    let scheduler = scheduler(2, 3, None);
    let first = enter(&scheduler, 0, 10);
    let second = enter(&scheduler, 0, 20);
    first.grow(17);

    drop(first);

    assert!(second.granted().now_or_never().is_some());
}

#[test]
fn the_last_sequence_preempts_itself_and_nobody_else() {
    let scheduler = scheduler(2, 3, None);
    let first = enter(&scheduler, 0, 20);
    let second = enter(&scheduler, 0, 10);

    second.grow(17);

    assert!(first.is_running());
    assert!(!second.is_running());
}

#[test]
fn leaving_gives_everything_back() {
    let scheduler = scheduler(2, 10, None);
    let seats = [enter(&scheduler, 0, 20), enter(&scheduler, 0, 20), enter(&scheduler, 0, 20)];
    seats[0].grow(50);

    drop(seats);

    assert_eq!(scheduler.load(), Load::default());
}

#[tokio::test]
async fn a_repeated_prompt_is_cached_but_for_its_last_token() {
    let scheduler = scheduler(2, 100, None);
    let first = enter(&scheduler, 0, 32);
    let second = enter(&scheduler, 0, 32);

    let cached = (first.granted().await, second.granted().await);

    assert_eq!(cached, (0, 16));
    assert_eq!(scheduler.totals.cache_queries.load(Ordering::Relaxed), 64);
    assert_eq!(scheduler.totals.cache_hits.load(Ordering::Relaxed), 16);
}
