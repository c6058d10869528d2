//! Chooses the deployment that answers, and the next one when it fails before its first byte.

use crate::{
    ModelBackend, ModelInfo, ModelRequest, ModelResponse, catalog::Catalog, client::UpstreamClient,
    failure::unknown_model, openai::Adapter,
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use domain::{Error, RequestContext, Result};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Routes requests by the model they name.
#[derive(Debug)]
pub struct Router {
    table: ArcSwap<Table>,
    client: UpstreamClient,
}

#[derive(Debug, Default)]
struct Table {
    models: HashMap<String, Route>,
    infos: Vec<ModelInfo>,
}

#[derive(Debug)]
struct Route {
    adapters: Vec<Adapter>,
    turn: AtomicUsize,
}

impl Router {
    /// A router for `catalog` that calls through `client`.
    #[must_use]
    pub fn new(catalog: Catalog, client: UpstreamClient) -> Self {
        let table = Table::new(catalog, &client);
        Self { table: ArcSwap::from_pointee(table), client }
    }

    /// Takes another catalog into use. Calls under way end as they began.
    pub fn swap(&self, catalog: Catalog) {
        self.table.store(Arc::new(Table::new(catalog, &self.client)));
    }
}

impl Table {
    fn new(catalog: Catalog, client: &UpstreamClient) -> Self {
        let mut table = Self::default();
        for model in catalog.models {
            table.infos.push(ModelInfo {
                id: model.name.clone(),
                owned_by: model.owned_by,
                created: model.created,
                max_model_len: model.max_model_len,
            });
            let adapter = |deployment| Adapter::new(&model.name, deployment, client.clone());
            let adapters = model.deployments.into_iter().map(adapter).collect();
            table.models.insert(model.name.clone(), Route { adapters, turn: AtomicUsize::new(0) });
        }
        table
    }
}

impl Route {
    /// By priority, then by how much they have to do, then by turns.
    fn order(&self) -> Vec<&Adapter> {
        let count = self.adapters.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|index| &self.adapters[(turn + index) % count]).collect();
        order.sort_by_cached_key(|adapter| (adapter.deployment.priority, adapter.in_flight()));
        order
    }
}

#[async_trait]
impl ModelBackend for Router {
    async fn call(&self, ctx: &RequestContext, request: ModelRequest) -> Result<ModelResponse> {
        let table = self.table.load_full();
        let route = table.models.get(&request.head.model).ok_or_else(|| unknown_model(&request.head.model))?;
        let mut failure = Error::unavailable("The model has no deployment.");
        let mut attempts = 0;
        for adapter in route.order() {
            attempts += 1;
            match adapter.call(ctx, &request).await {
                Ok(response) => return Ok(ModelResponse { attempts, ..response }),
                Err(error) if error.kind().is_retryable() => {
                    let deployment = &adapter.deployment.name;
                    tracing::warn!(deployment, attempts, error = error.chain(), "a deployment failed");
                    failure = error;
                }
                Err(error) => return Err(error),
            }
            if ctx.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                break;
            }
        }
        Err(failure)
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(self.table.load().infos.clone())
    }
}
