//! The meters of one tenant. All that bind a request are checked and then charged under one lock, held for well under a
//! microsecond: either every limit is charged or none.

use super::meter::{Charge, Check, Meter, RateView};
use domain::{Limit, LimitKind, SubjectKind};
use foldhash::HashMap;
use parking_lot::Mutex;
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{LeaseGrant, LeaseReport};
use tokio::{sync::Notify, time::Instant};

new_key_type! {
    /// Names a meter of an account; never names another one later.
    pub(crate) struct MeterKey;
}

/// What a request is going to use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) model: &'a str,
    /// In and out.
    pub(crate) tokens: i64,
    /// In nano-USD; none = the price is not known.
    pub(crate) cost: Option<i64>,
}

/// When a request asks, and what it makes of limits that the store has not answered for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// Set to when it began to wait, once it waits no longer.
    pub(crate) waited_since: Option<Instant>,
    /// The store is down, and they are charged without a look: those without a lease at once, others after the wait.
    pub(crate) is_admitted_blindly: bool,
}

/// What it has used in the end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) tokens: i64,
    /// None: the price is not known, and what was reserved stays spent.
    pub(crate) cost: Option<i64>,
}

/// What every limit says together.
#[derive(Debug)]
pub(crate) enum Decision {
    Admitted(Admitted),
    /// Some meter must ask the store first.
    Ask {
        is_lapsed: bool,
    },
    Refused(Box<Refused>),
}

/// What each meter was charged.
pub(crate) type Charges = Vec<(MeterKey, Charge)>;

/// What was charged, and how the limits stand.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    pub(crate) charges: Charges,
    pub(crate) requests: Option<RateView>,
    pub(crate) tokens: Option<RateView>,
    /// Whether the store should be asked before somebody has to wait.
    pub(crate) is_low: bool,
}

/// The limit that stands in the way, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) limit: Limit,
    pub(crate) need: i64,
    pub(crate) why: Why,
    pub(crate) requests: Option<RateView>,
    pub(crate) tokens: Option<RateView>,
}

/// Why a limit refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Used up; there is more after a while, if that is known.
    Exhausted(Option<Duration>),
    /// The request alone is more than the limit.
    TooLarge,
    /// A budget can't be kept for a model whose price nobody knows.
    Unpriced,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Account {
    meters: Mutex<Meters>,
    /// Woken whenever the store has answered.
    pub(crate) answered: Notify,
    /// Whether there is something to report.
    is_active: AtomicBool,
}

#[derive(Debug, Default)]
struct Meters {
    all: SlotMap<MeterKey, Meter>,
    tenant: Vec<MeterKey>,
    keys: HashMap<String, Vec<MeterKey>>,
    principals: HashMap<String, Vec<MeterKey>>,
}

/// Room for each kind of limit on tenant and key: more is rare, and then an allocation.
type Bound = SmallVec<[(MeterKey, i64); 14]>;

impl Account {
    /// Takes the tenant's limits as they are now; meters of limits that stay keep what they know.
    pub(crate) fn set_limits(&self, limits: Vec<Limit>) {
        self.meters.lock().set_limits(limits);
    }

    /// Checks every limit that binds `ask`, and charges all or none.
    pub(crate) fn admit(&self, ask: &Ask<'_>, at: Moment) -> Decision {
        let decision = self.meters.lock().admit(ask, at);
        self.is_active.store(true, Ordering::Relaxed);
        decision
    }

    /// Sets right what was charged.
    pub(crate) fn settle(&self, charges: &[(MeterKey, Charge)], spent: Spent, now: Instant) {
        let mut meters = self.meters.lock();
        for (key, charge) in charges {
            // A limit that was removed meanwhile counts nothing.
            let Some(meter) = meters.all.get_mut(*key) else { continue };
            let actual = match meter.limit.kind {
                LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests | LimitKind::EnqueuedTokens => {
                    charge.amount
                }
                LimitKind::TokensPerMinute => spent.tokens,
                LimitKind::UsdPerDay | LimitKind::UsdPerMonth | LimitKind::UsdTotal => {
                    spent.cost.unwrap_or(charge.amount)
                }
            };
            meter.settle(*charge, actual, now);
        }
        self.is_active.store(true, Ordering::Relaxed);
    }

    /// What every meter has to tell the store.
    pub(crate) fn reports(&self, now: Instant) -> Vec<(MeterKey, LeaseReport)> {
        if !self.is_active.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        let mut meters = self.meters.lock();
        let reports: Vec<_> =
            meters.all.iter_mut().filter_map(|(key, meter)| Some((key, meter.report(now)?))).collect();
        // Idle leases are returned by the next report, so there is one more after the last use.
        self.is_active.store(!reports.is_empty(), Ordering::Relaxed);
        reports
    }

    /// Takes in what the store granted.
    pub(crate) fn granted(&self, grants: &[(MeterKey, LeaseGrant)], ttl: Duration, now: Instant) {
        let mut meters = self.meters.lock();
        for (key, grant) in grants {
            if let Some(meter) = meters.all.get_mut(*key) {
                meter.granted(grant, ttl, now);
            }
        }
        drop(meters);
        self.answered.notify_waiters();
    }

    /// Marks the account for another report: the last one did not reach the store.
    pub(crate) fn keep_reporting(&self) {
        self.is_active.store(true, Ordering::Relaxed);
    }
}

impl Meters {
    fn set_limits(&mut self, limits: Vec<Limit>) {
        let mut known: std::collections::HashMap<_, _> =
            self.all.iter().map(|(key, meter)| (meter.limit.id.clone(), key)).collect();
        (self.tenant, self.keys, self.principals) = Default::default();
        for limit in limits {
            let index = match limit.subject_kind {
                SubjectKind::Tenant => &mut self.tenant,
                SubjectKind::Key => self.keys.entry(limit.subject.clone()).or_default(),
                SubjectKind::Principal => self.principals.entry(limit.subject.clone()).or_default(),
            };
            index.push(match known.remove(&limit.id) {
                Some(key) => {
                    self.all[key].limit = limit;
                    key
                }
                None => self.all.insert(Meter::new(limit)),
            });
        }
        for gone in known.into_values() {
            self.all.remove(gone);
        }
    }

    fn admit(&mut self, ask: &Ask<'_>, at: Moment) -> Decision {
        let now = at.now;
        let bound = match self.bound(ask) {
            Ok(bound) => bound,
            Err(unpriced) => return Decision::Refused(Box::new(self.refusal(unpriced, 0, Why::Unpriced, ask, now))),
        };
        let mut worst: Option<(MeterKey, i64, Why)> = None;
        let (mut must_ask, mut is_lapsed) = (false, false);
        for (key, need) in &bound {
            let meter = &mut self.all[*key];
            let why = match meter.check(*need, at.waited_since, now) {
                Check::Fits => continue,
                Check::Ask => {
                    must_ask = true;
                    is_lapsed |= !meter.is_leased(now);
                    continue;
                }
                Check::Exhausted(wait) => Why::Exhausted(wait),
                Check::TooLarge => Why::TooLarge,
            };
            if worst.as_ref().is_none_or(|(_, _, known)| longer(&why, known)) {
                worst = Some((*key, *need, why));
            }
        }
        let is_blind = at.is_admitted_blindly && (is_lapsed || at.waited_since.is_some());
        match worst {
            Some((key, need, why)) => Decision::Refused(Box::new(self.refusal(key, need, why, ask, now))),
            None if must_ask && !is_blind => Decision::Ask { is_lapsed },
            None => Decision::Admitted(self.charge(&bound, now)),
        }
    }

    /// The meters that bind `ask` and what each counts of it, or the one that can't count it.
    fn bound(&self, ask: &Ask<'_>) -> Result<Bound, MeterKey> {
        let keys = [&self.tenant, named(&self.keys, ask.key), named(&self.principals, ask.principal)];
        let mut bound = Bound::new();
        for key in keys.into_iter().flatten().copied() {
            let limit = &self.all[key].limit;
            if limit.model.as_deref().is_some_and(|model| model != ask.model) {
                continue;
            }
            let need = match limit.kind {
                LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => Some(1),
                LimitKind::TokensPerMinute => Some(ask.tokens),
                LimitKind::UsdPerDay | LimitKind::UsdPerMonth | LimitKind::UsdTotal => ask.cost,
                // Counted where batches are made.
                LimitKind::EnqueuedTokens => continue,
            };
            bound.push((key, need.ok_or(key)?));
        }
        Ok(bound)
    }

    fn charge(&mut self, bound: &Bound, now: Instant) -> Admitted {
        let mut admitted = Admitted { charges: Vec::with_capacity(bound.len()), ..Admitted::default() };
        for (key, need) in bound {
            let meter = &mut self.all[*key];
            let (charge, is_low) = meter.charge(*need, now);
            admitted.charges.push((*key, charge));
            admitted.is_low |= is_low;
            note(meter, &mut admitted.requests, &mut admitted.tokens, now);
        }
        admitted
    }

    fn refusal(&self, key: MeterKey, need: i64, why: Why, ask: &Ask<'_>, now: Instant) -> Refused {
        let mut refused = Refused { limit: self.all[key].limit.clone(), need, why, requests: None, tokens: None };
        for (key, _) in self.bound(ask).unwrap_or_default() {
            note(&self.all[key], &mut refused.requests, &mut refused.tokens, now);
        }
        refused
    }
}

/// The meters of a key or a principal, if there is one.
fn named<'a>(index: &'a HashMap<String, Vec<MeterKey>>, name: Option<&str>) -> &'a [MeterKey] {
    name.and_then(|name| index.get(name)).map(Vec::as_slice).unwrap_or_default()
}

/// Remembers the tightest of the limits by the minute.
fn note(meter: &Meter, requests: &mut Option<RateView>, tokens: &mut Option<RateView>, now: Instant) {
    let tightest = match meter.limit.kind {
        LimitKind::RequestsPerMinute => requests,
        LimitKind::TokensPerMinute => tokens,
        _ => return,
    };
    let view = meter.view(now);
    if tightest.is_none_or(|known| view.remaining < known.remaining) {
        *tightest = Some(view);
    }
}

/// Whether `one` keeps the caller out for longer than `other`.
fn longer(one: &Why, other: &Why) -> bool {
    let rank = |why: &Why| match why {
        Why::Exhausted(Some(wait)) => *wait,
        Why::Exhausted(None) | Why::TooLarge | Why::Unpriced => Duration::MAX,
    };
    rank(one) > rank(other)
}

/// An account that several tasks share.
pub(crate) type SharedAccount = Arc<Account>;
