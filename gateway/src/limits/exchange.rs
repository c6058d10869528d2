//! The conversation with the database, in the background: reports go out, leases come in. One transaction for everything that
//! has something to say, soon after somebody waits and else every `exchange_ms`.

use super::{Account, Limits, account::MeterKey};
use chassis::drain::Drain;
use domain::{LimitId, Result};
use foldhash::{HashMap, HashMapExt};
use std::{sync::Arc, sync::atomic::Ordering, time::Duration};
use store::LeaseReport;
use tokio::time::{Instant, timeout};

/// Those who wait within this are asked for together.
const GATHER: Duration = Duration::from_millis(3);
/// Whose lease is low is in no hurry: what is left lasts for about so long.
const LOW: Duration = Duration::from_millis(50);
/// A database that takes longer counts as down.
const PATIENCE: Duration = Duration::from_secs(3);
/// One transaction locks at most so many limits.
const MOST_AT_ONCE: usize = 500;
/// How often the end of the last request is looked for while draining.
const LAST_LOOK: Duration = Duration::from_millis(20);

struct Told {
    account: Arc<Account>,
    meter: MeterKey,
    report: LeaseReport,
}

impl Limits {
    /// Talks to the database until the last request has ended, then gives back what is left.
    pub(crate) async fn run(self: Arc<Self>, drain: Drain) {
        let begun = drain.token();
        loop {
            tokio::select! {
                () = begun.cancelled() => break,
                // One that is away is asked in its time, not by everybody who waits.
                () = self.nudged.notified(), if !self.is_down.load(Ordering::Relaxed) => tokio::time::sleep(GATHER).await,
                () = self.low.notified(), if !self.is_down.load(Ordering::Relaxed) => self.nudged_within(LOW).await,
                () = tokio::time::sleep(self.settings.exchange()) => {}
            }
            self.exchange().await;
        }
        let settled = async {
            while self.running.load(Ordering::Relaxed) > 0 {
                self.exchange().await;
                tokio::time::sleep(LAST_LOOK).await;
            }
        };
        drain.expired().run_until_cancelled(settled).await;
        self.exchange().await;
        match timeout(PATIENCE, self.store.drop_leases(&self.replica)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error.chain(), "leases of limits not returned: they lapse by themselves")
            }
            Err(_) => tracing::warn!("leases of limits not returned in time: they lapse by themselves"),
        }
    }

    async fn nudged_within(&self, time: Duration) {
        if timeout(time, self.nudged.notified()).await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }

    async fn exchange(&self) {
        let now = Instant::now();
        let accounts: Vec<_> = self.accounts.load().values().cloned().collect();
        let told = accounts.iter().flat_map(|account| {
            let told = |(meter, report)| Told { account: account.clone(), meter, report };
            account.reports(now).into_iter().map(told)
        });
        let mut told: Vec<_> = told.collect();
        while !told.is_empty() {
            let rest = told.split_off(told.len().min(MOST_AT_ONCE));
            self.exchange_some(std::mem::replace(&mut told, rest)).await;
        }
    }

    async fn exchange_some(&self, told: Vec<Told>) {
        let reports: Vec<_> = told.iter().map(|told| told.report.clone()).collect();
        let ttl = self.settings.lease();
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let answer = timeout(PATIENCE, self.store.exchange_leases(&self.replica, &reports, ttl_ms)).await;
        let failure = match answer {
            Ok(Ok(grants)) => return self.hand_out(&told, grants, ttl),
            Ok(Err(error)) => error.chain(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        self.instruments.store_failed();
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = failure,
                "limits can't be exchanged with the database; what this replica holds lasts for {} s",
                ttl.as_secs()
            );
        }
        for told in &told {
            told.account.keep_reporting();
            told.account.answered.notify_waiters();
        }
    }

    fn hand_out(&self, told: &[Told], grants: Vec<store::LeaseGrant>, ttl: Duration) {
        if self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!("limits are exchanged with the database again");
        }
        let now = Instant::now();
        let mut by_limit: HashMap<LimitId, _> = grants.into_iter().map(|grant| (grant.limit.clone(), grant)).collect();
        let mut of_account: Vec<(&Arc<Account>, Vec<_>)> = Vec::new();
        for told in told {
            let grant = by_limit.remove(&told.report.limit).map(|grant| (told.meter, grant));
            match of_account.last_mut().filter(|(account, _)| Arc::ptr_eq(account, &told.account)) {
                Some((_, grants)) => grants.extend(grant),
                None => of_account.push((&told.account, grant.into_iter().collect())),
            }
        }
        for (account, grants) in of_account {
            account.granted(&grants, ttl, now);
        }
    }

    /// Reads the limits again; meters of limits that stay keep what they know.
    ///
    /// # Errors
    /// When the database can't be reached. The last known limits stay in force.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let mut by_tenant: HashMap<_, Vec<_>> = HashMap::new();
        for limit in self.store.all_limits().await? {
            by_tenant.entry(limit.tenant.clone()).or_default().push(limit);
        }
        let old = self.accounts.load_full();
        let mut accounts = HashMap::with_capacity(by_tenant.len());
        for (tenant, account) in old.iter() {
            // Requests that run may still have to be settled, so an account is never dropped while it has limits to return.
            let limits = by_tenant.remove(tenant).unwrap_or_default();
            let is_bare = limits.is_empty();
            account.set_limits(limits);
            if !is_bare {
                accounts.insert(tenant.clone(), account.clone());
            }
        }
        for (tenant, limits) in by_tenant {
            let account = Account::default();
            account.set_limits(limits);
            accounts.insert(tenant, Arc::new(account));
        }
        self.accounts.store(Arc::new(accounts));
        Ok(())
    }
}
