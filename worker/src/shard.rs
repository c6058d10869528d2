//! Runs the undone lines of one leased shard: starts them, checkpoints what finishes, and lets go in good order when the
//! batch is cancelled, its window closes, the worker goes away or the lease is lost.

mod asked;
mod doors;
mod order;
mod trial;

pub(crate) use asked::Asked;
pub(crate) use doors::Doors;

use crate::{
    Core,
    checkpoint::{self, Checkpoint, Flushed},
    compact,
    gate::backoff,
    in_time::InTime,
    input::{self, Input},
    leases::{Ending, Hold, Orders, Pass},
    line::{self, Line},
    plan,
    record::{self, Record},
    turns::Turns,
};
use bytes::Bytes;
use chassis::drain::Drain;
use domain::{Bitmap, Pointer, PointerKind, Result, TraceContext, Usage};
use orchestrator::Sending;
use order::Ask;
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::{ShardLease, Side};
use tokio::{
    sync::{OwnedMutexGuard, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tracing::{debug, error, warn};
use trial::{Next, Trial};

/// How long a worker that goes away tries to make its last lines durable.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Runs the shard to its end, or as far as it is allowed to.
pub(crate) async fn run(core: Arc<Core>, drain: Drain, lease: ShardLease, hold: Hold) -> Result<()> {
    let lines = match read(&core, &lease).await {
        Ok(lines) => lines,
        Err(error) => {
            core.store.release_shard(&lease, false, None).in_time().await?;
            return Err(error);
        }
    };
    let mut run = Run::new(core, drain, lease, hold, lines);
    run.start();
    run.work().await;
    run.finish().await
}

/// Reads the lines of the shard, patient with a store that stumbles.
async fn read(core: &Core, lease: &ShardLease) -> Result<Vec<Bytes>> {
    let shard = &lease.shard;
    let bytes = shard.byte_start.unsigned_abs()..shard.byte_end.unsigned_abs();
    let mut attempt = 0;
    loop {
        let lines = async {
            let input = Input::open(&core.store, &lease.batch).await?;
            input.lines(&core.blobs, bytes.clone(), shard.done.len()).await
        };
        match lines.await {
            Err(error) if attempt < 4 => warn!(error = %error.chain(), attempt, "input of {} not read", shard.id),
            other => return other,
        }
        attempt += 1;
        tokio::time::sleep(backoff(attempt)).await;
    }
}

struct Run {
    core: Arc<Core>,
    drain: Drain,
    lease: ShardLease,
    hold: Hold,
    pass: watch::Receiver<Pass>,
    orders: watch::Receiver<Orders>,
    /// The lines of the shard, done or not.
    texts: Vec<Bytes>,
    lines: JoinSet<Option<Record>>,
    /// Lines that wait for the answer to an identical one, by its number.
    twins: HashMap<usize, Vec<usize>>,
    checkpoint: Checkpoint,
    /// Calls that may be in flight.
    turns: Arc<Turns>,
    doors: Arc<Doors>,
    /// Lines that a model server has been asked.
    asked: Arc<Asked>,
    /// While the shard is suspect of killing workers: what is still to be asked.
    trial: Option<Trial>,
    /// Whether the window of the batch has closed.
    expired: bool,
    draining: bool,
    stop_at: Option<Instant>,
    crashed: bool,
    lost: bool,
    shard_done: bool,
}

enum Event {
    Pass(Pass),
    Orders,
    Drain,
    Expired,
    Stop,
    Turn(OwnedMutexGuard<()>),
    Line(Result<Option<Record>, JoinError>),
    NoMoreLines,
    FlushDue,
    TellDue,
}

impl Run {
    fn new(core: Arc<Core>, drain: Drain, lease: ShardLease, hold: Hold, texts: Vec<Bytes>) -> Self {
        let done = &lease.shard.done;
        let run = Self {
            pass: hold.pass(),
            orders: hold.orders(),
            texts,
            lines: JoinSet::new(),
            twins: HashMap::new(),
            checkpoint: Checkpoint::new(done.len()),
            turns: Turns::new(),
            doors: Arc::default(),
            asked: Asked::new(done.len()),
            trial: None,
            expired: false,
            draining: false,
            stop_at: None,
            crashed: false,
            lost: false,
            shard_done: false,
            core,
            drain,
            lease,
            hold,
        };
        run.allow_turns();
        run
    }

    /// Lets as many lines into flight as the batch allows.
    fn allow_turns(&self) {
        let lines = self.lease.shard.done.len();
        self.turns.allow(self.orders.borrow().lines.map_or(lines, |allowed| allowed.min(lines)).max(1));
    }

    /// Starts every line that has no record yet. They queue at the gate of their model.
    fn start(&mut self) {
        let (batch, shard) = (&self.lease.batch, &self.lease.shard);
        let asks = order::order(&self.texts, shard.done.missing(), batch.dedup.then_some(batch.endpoint));
        match Trial::of(shard, asks) {
            Err(asks) => self.ask(asks),
            Ok(mut trial) => {
                if let Some(culprit) = trial.culprit.take() {
                    for number in [culprit.line].into_iter().chain(culprit.twins) {
                        self.checkpoint.push(&trial::quarantine(number, &self.texts[number]));
                    }
                }
                self.trial = Some(trial);
            }
        }
    }

    fn ask(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            self.spawn(ask.line);
            self.twins.insert(ask.line, ask.twins);
        }
    }

    /// Goes on with what a suspect shard has left, now that nothing of it is in flight. `false`: there is nothing, or no lease.
    async fn go_on(&mut self) -> bool {
        if !self.checkpoint.is_empty() {
            self.flush().await;
        }
        if self.lost || self.shard_done || self.crashed || self.ending().is_some() {
            return false;
        }
        let Some(trial) = &mut self.trial else { return false };
        let (asks, group) = match trial.next() {
            Next::Group(asks) => {
                let group = trial::marked(&asks, self.texts.len());
                (asks, Some(group))
            }
            Next::Free(asks) => (asks, None),
        };
        if group.is_none() {
            self.trial = None;
        }
        let goes_on = self.tell_trial(group.as_ref()).await && !asks.is_empty();
        if goes_on {
            self.ask(asks);
        }
        goes_on
    }

    /// Tells which suspects will be in flight, or that there are none any more. `false`: nobody could be told before no line may
    /// begin.
    async fn tell_trial(&self, group: Option<&Bitmap>) -> bool {
        let write = || async {
            match group {
                Some(group) => self.core.store.tell_trial(&self.lease, group).in_time().await,
                None => self.core.store.end_trial(&self.lease).in_time().await,
            }
        };
        let mut pass = self.hold.pass();
        tokio::select! {
            biased;
            _ = pass.wait_for(|pass| matches!(pass, Pass::Closed(_))) => false,
            () = self.drain.begun() => false,
            told = checkpoint::persist("trial not told", write) => told == Some(true),
        }
    }

    fn spawn(&mut self, number: usize) {
        let line = Line {
            number,
            text: self.texts[number].clone(),
            tenant: self.lease.batch.tenant.clone(),
            batch: self.lease.batch.id.clone(),
            endpoint: self.lease.batch.endpoint,
            trace: self.lease.batch.traceparent.as_deref().and_then(TraceContext::parse),
            pass: self.hold.pass(),
            doors: Arc::clone(&self.doors),
            sending: {
                let asked = Arc::clone(&self.asked);
                Sending::new(move || asked.add(number))
            },
        };
        let (core, turns) = (Arc::clone(&self.core), Arc::clone(&self.turns));
        self.lines.spawn(async move {
            let _turn = turns.take().await?;
            line::run(core, line).await
        });
    }

    async fn work(&mut self) {
        while !self.lost {
            match self.next().await {
                Event::Pass(Pass::Closed(ending)) => self.stop_within(self.grace(ending)),
                Event::Pass(Pass::Open | Pass::Paused) | Event::FlushDue => {}
                Event::Orders => self.allow_turns(),
                Event::Drain => {
                    self.draining = true;
                    self.hold.close(Ending::Drain);
                }
                Event::Expired => {
                    self.expired = true;
                    self.hold.close(Ending::Expired);
                }
                Event::Line(joined) => self.take_in(joined),
                Event::TellDue => self.tell_asked().await,
                Event::Turn(turn) => {
                    if let Some(trial) = &mut self.trial {
                        trial.begin(turn);
                    }
                }
                Event::NoMoreLines if self.go_on().await => {}
                Event::Stop | Event::NoMoreLines => return,
            }
            if self.is_flush_due() {
                self.flush().await;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let due = self.checkpoint.due(&self.core.settings);
        let expires = Instant::from_std(self.orders.borrow().expires);
        let waits = self.trial.as_ref().is_some_and(Trial::waits) && self.ending().is_none();
        tokio::select! {
            biased;
            _ = self.pass.changed() => Event::Pass(*self.pass.borrow_and_update()),
            () = at(self.stop_at) => Event::Stop,
            () = self.drain.begun(), if !self.draining => Event::Drain,
            _ = self.orders.changed() => Event::Orders,
            () = tokio::time::sleep_until(expires), if !self.expired => Event::Expired,
            turn = Arc::clone(&self.core.trial).lock_owned(), if waits => Event::Turn(turn),
            joined = self.lines.join_next(), if !waits => joined.map_or(Event::NoMoreLines, Event::Line),
            () = at(due) => Event::FlushDue,
            () = self.asked.due(Duration::from_millis(self.core.settings.flush_ms)) => Event::TellDue,
        }
    }

    /// How long calls in flight may go on.
    fn grace(&self, ending: Ending) -> Duration {
        match ending {
            // What is in flight may finish; no call takes longer.
            Ending::Held => self.core.settings.call_timeout,
            Ending::Drain => Duration::from_millis(self.core.settings.drain_grace_ms),
            Ending::Expired => Duration::from_millis(self.core.settings.expiry_grace_ms),
            Ending::Cancelled | Ending::Lost => Duration::ZERO,
        }
    }

    fn stop_within(&mut self, grace: Duration) {
        let stop_at = Instant::now() + grace;
        self.stop_at = Some(self.stop_at.map_or(stop_at, |earlier| earlier.min(stop_at)));
    }

    fn take_in(&mut self, joined: Result<Option<Record>, JoinError>) {
        match joined {
            Ok(Some(record)) => {
                self.checkpoint.push(&record);
                self.answer_twins(&record);
            }
            Ok(None) => {}
            Err(error) if error.is_panic() => {
                error!(shard.id = %self.lease.shard.id, %error, "a line of {} panicked", self.lease.shard.id);
                self.crashed = true;
            }
            Err(_) => {}
        }
    }

    /// Identical lines share an answer, in the same checkpoint. A failure is no answer: each of them is asked then.
    fn answer_twins(&mut self, record: &Record) {
        for number in self.twins.remove(&record.number).unwrap_or_default() {
            match twin(record, number, &self.texts[number]) {
                Some(record) => self.checkpoint.push_twin(&record),
                None => self.spawn(number),
            }
        }
    }

    fn is_flush_due(&self) -> bool {
        let settings = &self.core.settings;
        let waited = self.checkpoint.due(settings).is_some_and(|due| due <= Instant::now());
        !self.checkpoint.is_empty() && (waited || self.checkpoint.is_full(settings))
    }

    /// Makes finished lines durable; gives up when the lease is lost or the worker has to go.
    async fn flush(&mut self) {
        let mut pass = self.hold.pass();
        let flushed = tokio::select! {
            biased;
            _ = pass.wait_for(|pass| *pass == Pass::Closed(Ending::Lost)) => Flushed::Lost,
            flushed = self.checkpoint.flush(&self.core, &self.lease, &self.asked) => flushed,
            () = too_late(&self.drain) => {
                warn!("the last lines of {} are not durable and will be redone", self.lease.shard.id);
                Flushed::Lost
            }
        };
        match flushed {
            Flushed::Committed { shard_done } => self.shard_done |= shard_done,
            Flushed::Lost => self.lost = true,
        }
    }

    /// Tells the database which calls would be lost with this worker. If it can't be told now, then later.
    async fn tell_asked(&self) {
        let asked = self.asked.tell(&Bitmap::new(self.texts.len()));
        let mut pass = self.hold.pass();
        let told = tokio::select! {
            biased;
            _ = pass.wait_for(|pass| matches!(pass, Pass::Closed(_))) => return,
            told = self.core.store.tell_asked(&self.lease, &asked).in_time() => told,
        };
        if let Err(error) = told {
            warn!(error = %error.chain(), "the calls of {} not told", self.lease.shard.id);
            self.asked.untell();
        }
    }

    /// Aborts what still runs, keeps what finished, and hands the shard on.
    async fn finish(mut self) -> Result<()> {
        let ending = self.ending();
        self.lines.abort_all();
        while let Some(joined) = self.lines.join_next().await {
            self.take_in(joined);
        }
        if !self.shard_done && (self.lost || ending == Some(Ending::Lost)) {
            debug!(shard.id = %self.lease.shard.id, "let go of {}: its lease is lost", self.lease.shard.id);
            return Ok(());
        }
        if !self.checkpoint.is_empty() {
            self.flush().await;
        }
        self.hand_on(ending).await
    }

    async fn hand_on(self, ending: Option<Ending>) -> Result<()> {
        let batch = &self.lease.batch.id;
        if self.shard_done {
            tokio::select! {
                biased;
                () = compact::run(&self.core, &self.lease) => {}
                () = self.drain.begun() => {}
            }
            return plan::top_up(&self.core, batch).await;
        }
        if self.lost {
            return Ok(());
        }
        let asked = self.asked.tell(&Bitmap::new(self.texts.len()));
        self.core.store.release_shard(&self.lease, self.crashed, Some(&asked)).in_time().await?;
        let pointer = match ending {
            // Nobody may run it now; who looks later finds it.
            Some(Ending::Held) => return Ok(()),
            Some(Ending::Cancelled | Ending::Expired) => Pointer::new(PointerKind::Finalize, batch.as_str()),
            _ => Pointer::new(PointerKind::Shard, self.lease.shard.id.as_str()),
        };
        plan::ring(&self.core, &[pointer]).await;
        Ok(())
    }

    fn ending(&self) -> Option<Ending> {
        match *self.pass.borrow() {
            Pass::Closed(ending) => Some(ending),
            Pass::Open | Pass::Paused => None,
        }
    }
}

/// The record of a line that is identical to an answered one.
fn twin(record: &Record, number: usize, text: &Bytes) -> Option<Record> {
    let json = match record.side {
        Side::Ok => record::twin(&input::custom_id(text), &record.json).ok()?,
        Side::Err => return None,
    };
    Some(Record { number, side: Side::Ok, json, usage: Usage::default(), ledger: None })
}

async fn too_late(drain: &Drain) {
    drain.begun().await;
    tokio::time::sleep(LAST_FLUSH).await;
}

/// Waits until `when`; for ever if there is none.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
