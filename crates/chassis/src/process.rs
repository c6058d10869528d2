//! The life of a process: its parts start, it waits for a signal, they drain, and what they lean on ends last.

use crate::{
    drain::{self, Drain, Readiness},
    host, http,
    telemetry::{self, Telemetry, TelemetrySettings},
};
use domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};
use tokio::task::{JoinError, JoinSet};

/// The port for probes and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where to listen. Keep it away from users: metrics name tenants' models.
    pub bind: SocketAddr,
}

impl AdminSettings {
    /// Loopback at `port`: each kind of process has a default of its own, so that one machine can run them all.
    #[must_use]
    pub fn at_port(port: u16) -> Self {
        Self { bind: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self::at_port(9090)
    }
}

/// How the process ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSettings {
    /// Seconds that work in flight may take after SIGTERM.
    pub grace_secs: u64,
}

impl Default for DrainSettings {
    fn default() -> Self {
        // Cloud Run kills 10 seconds after SIGTERM.
        Self { grace_secs: 8 }
    }
}

type Tasks = JoinSet<Result<()>>;

/// A running process and its parts.
pub struct Process {
    drain: Drain,
    telemetry: Telemetry,
    parts: Tasks,
    /// What the parts lean on until their last request: the admin port, the simulator.
    support: Tasks,
    support_drain: Drain,
    told: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Process {
    /// Starts telemetry and the admin port.
    ///
    /// # Errors
    /// When telemetry can't be set up or the port can't be had.
    pub async fn start(telemetry: &TelemetrySettings, admin: &AdminSettings, drain: &DrainSettings) -> Result<Self> {
        let told = Box::pin(drain::signal());
        let telemetry = telemetry::init(telemetry)?;
        host::prepare();
        let listener = http::bind(admin.bind).await?;
        let drain = Drain::new(Duration::from_secs(drain.grace_secs));
        let support_drain = Drain::new(Duration::ZERO);
        let mut process = Self { drain, telemetry, parts: Tasks::new(), support: Tasks::new(), support_drain, told };
        let probes = http::admin_routes(Readiness::new(&process.drain), process.telemetry.clone());
        process.support(|drain| http::serve(listener, probes, drain));
        Ok(process)
    }

    /// The drain that parts obey.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Starts a part of the work: it ends when the drain begins, within its grace.
    pub fn part<F>(&mut self, part: impl FnOnce(Drain) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.parts.spawn(part(self.drain.clone()));
    }

    /// Starts what the parts lean on: the drain that it gets begins when the last part has ended.
    pub fn support<F>(&mut self, part: impl FnOnce(Drain) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.support.spawn(part(self.support_drain.clone()));
    }

    /// Waits for SIGTERM, SIGINT or a part that fails, then ends everything in order and flushes telemetry.
    ///
    /// # Errors
    /// The first failure of a part.
    pub async fn run(mut self) -> Result<()> {
        let mut outcome = Ok(());
        tokio::select! {
            () = &mut self.told => tracing::info!("draining: new work is refused, work in flight may finish"),
            Some(ended) = self.parts.join_next() => outcome = flatten(ended),
            Some(ended) = self.support.join_next() => outcome = flatten(ended),
        }
        for (drain, tasks) in [(&self.drain, &mut self.parts), (&self.support_drain, &mut self.support)] {
            drain.begin();
            while let Some(ended) = tasks.join_next().await {
                outcome = outcome.and(flatten(ended));
            }
        }
        self.telemetry.flush().await;
        outcome
    }
}

fn flatten(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Notify;

    fn process(told: impl Future<Output = ()> + Send + 'static) -> Process {
        Process {
            drain: Drain::new(Duration::from_secs(60)),
            telemetry: Telemetry::new(&TelemetrySettings::default()).unwrap(),
            parts: Tasks::new(),
            support: Tasks::new(),
            support_drain: Drain::new(Duration::ZERO),
            told: Box::pin(told),
        }
    }

    #[tokio::test]
    async fn support_outlives_the_last_part() {
        let mut process = process(async {});
        let (asked, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (ask, hear) = (asked.clone(), answered.clone());
        process.part(async move |drain: Drain| {
            drain.begun().await;
            ask.notify_one();
            hear.notified().await;
            Ok(())
        });
        process.support(async move |drain: Drain| {
            asked.notified().await;
            assert!(!drain.has_begun());
            answered.notify_one();
            drain.begun().await;
            Ok(())
        });

        process.run().await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_fails_ends_the_process_with_its_error() {
        let mut process = process(std::future::pending());
        process.part(async |_| Err(Error::invalid("no such thing")));
        process.part(async |drain: Drain| {
            drain.begun().await;
            Ok(())
        });

        let error = process.run().await.unwrap_err();

        assert!(error.to_string().contains("no such thing"), "{error}");
    }
}
