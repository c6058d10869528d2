//! How much somebody may use, decided from memory and exact across replicas. A request is admitted against leases, slices of
//! limits that this replica took from the database before it needed them; `exchange.rs` keeps them fresh.

mod account;
mod exchange;
mod instruments;
mod meter;
mod refusal;
mod settings;

pub(crate) use account::{Account, Ask, Spent};
pub(crate) use refusal::Rates;
pub use settings::{LimitsSettings, WhenDown};

use account::{Charges, Decision, Moment, SharedAccount};
use arc_swap::ArcSwap;
use domain::{Error, ReplicaId, Result, TenantId};
use foldhash::HashMap;
use instruments::Instruments;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use store::Store;
use tokio::{
    sync::{Notify, OnceCell},
    time::{Instant, timeout_at},
};

/// The limits of every tenant, as this replica knows them.
pub(crate) struct Limits {
    settings: LimitsSettings,
    store: Store,
    replica: ReplicaId,
    accounts: ArcSwap<HashMap<TenantId, SharedAccount>>,
    /// Set once the limits were read: before that nobody is let in.
    read_once: OnceCell<()>,
    /// Somebody waits for the database.
    nudged: Notify,
    /// Somebody will, before long.
    low: Notify,
    is_down: AtomicBool,
    /// Requests that are not settled yet.
    running: Arc<AtomicUsize>,
    instruments: Instruments,
}

/// A request that was admitted. Holds what it reserved until it is settled or dropped, which counts as nothing used.
#[derive(Debug)]
pub(crate) struct Ticket {
    held: Option<(SharedAccount, Charges)>,
    rates: Rates,
    running: Arc<AtomicUsize>,
}

/// Why a request is not admitted, and what the headers say of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) rates: Rates,
}

impl Limits {
    pub(crate) fn new(settings: LimitsSettings, store: Store) -> Self {
        Self {
            settings,
            store,
            replica: ReplicaId::generate(),
            accounts: ArcSwap::default(),
            read_once: OnceCell::new(),
            nudged: Notify::new(),
            low: Notify::new(),
            is_down: AtomicBool::new(false),
            running: Arc::default(),
            instruments: Instruments::new(),
        }
    }

    /// Charges every limit that binds `ask`, or none. Waits for the database only when this replica holds too little.
    ///
    /// # Errors
    /// 429 when a limit is reached, with the time until it is not; 503 when that can't be known.
    pub(crate) async fn admit(&self, tenant: &TenantId, ask: &Ask<'_>) -> Result<Ticket, Refusal> {
        if let Err(error) = self.read_once.get_or_try_init(|| self.refresh()).await {
            return Err(Refusal { error: self.unknown().error.with_source(error), rates: Rates::default() });
        }
        let Some(account) = self.accounts.load().get(tenant).cloned() else {
            return Ok(self.ticket(None, Rates::default()));
        };
        let begun = Instant::now();
        match self.decide(&account, ask, begun, None) {
            Some(decided) => decided,
            None => self.ask_store(&account, ask, begun).await,
        }
    }

    /// What memory says; none = only the database can tell. `waited_since` is set once a request waits no longer.
    fn decide(
        &self,
        account: &SharedAccount,
        ask: &Ask<'_>,
        now: Instant,
        waited_since: Option<Instant>,
    ) -> Option<Result<Ticket, Refusal>> {
        let is_down = self.is_down.load(Ordering::Relaxed);
        let is_admitted_blindly = is_down && self.settings.when_store_is_down == WhenDown::Admit;
        match account.admit(ask, Moment { now, waited_since, is_admitted_blindly }) {
            Decision::Admitted(admitted) => {
                if admitted.is_low {
                    self.low.notify_one();
                }
                let rates = Rates { requests: admitted.requests, tokens: admitted.tokens };
                Some(Ok(self.ticket(Some((account.clone(), admitted.charges)), rates)))
            }
            Decision::Refused(refused) => {
                self.instruments.refused(&refused.limit);
                let rates = Rates { requests: refused.requests, tokens: refused.tokens };
                Some(Err(Refusal { error: refusal::error(&refused), rates }))
            }
            Decision::Ask { is_lapsed } => (is_lapsed && is_down).then(|| Err(self.unknown())),
        }
    }

    /// Waits for the database to answer, until what it says will do. An answer that came just before the wait is made up for by the
    /// next one: each wait asks for one.
    async fn ask_store(&self, account: &SharedAccount, ask: &Ask<'_>, begun: Instant) -> Result<Ticket, Refusal> {
        let until = begun + self.settings.wait();
        loop {
            let mut answered = std::pin::pin!(account.answered.notified());
            answered.as_mut().enable();
            self.instruments.waited();
            self.nudged.notify_one();
            let has_waited = timeout_at(until, answered).await.is_err();
            if let Some(decided) = self.decide(account, ask, Instant::now(), has_waited.then_some(begun)) {
                return decided;
            }
            if has_waited {
                return Err(self.unknown());
            }
        }
    }

    fn unknown(&self) -> Refusal {
        self.instruments.unknown();
        let message = "Your limits can't be checked right now; try again shortly.";
        Refusal { error: Error::unavailable(message).with_code("limits_unavailable"), rates: Rates::default() }
    }

    fn ticket(&self, held: Option<(SharedAccount, Charges)>, rates: Rates) -> Ticket {
        self.running.fetch_add(1, Ordering::Relaxed);
        Ticket { held, rates, running: self.running.clone() }
    }
}

impl Ticket {
    /// What the headers of the answer say.
    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    /// Gives back what was reserved and books what was used.
    pub(crate) fn settle(mut self, spent: Spent, now: Instant) {
        if let Some((account, charges)) = self.held.take() {
            account.settle(&charges, spent, now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((account, charges)) = self.held.take() {
            account.settle(&charges, Spent { tokens: 0, cost: Some(0) }, Instant::now());
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}
