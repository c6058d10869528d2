//! Names to addresses. What is judged here is what is connected to: there is no second look-up that could say something else.

use crate::guard::{Forbidden, Guard};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Looks up as `inner` does, and gives no address that is forbidden.
pub(crate) struct Guarded {
    guard: Arc<Guard>,
    inner: Arc<dyn Resolve>,
}

impl Guarded {
    pub(crate) fn new(guard: Arc<Guard>, inner: Arc<dyn Resolve>) -> Self {
        Self { guard, inner }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (guard, found) = (Arc::clone(&self.guard), self.inner.resolve(name));
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            if let Err(Forbidden) = guard.judge_addresses(&host, &addresses) {
                tracing::warn!(%host, ?addresses, "the host of a webhook has an address that is not public");
                return Err(Forbidden.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// As the system looks up names.
pub(crate) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
