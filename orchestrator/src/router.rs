//! Answers requests to models: finds the route, looks whether the answer is known already, and else has it made.

use crate::{
    DeploymentInfo, Dialect, ModelBackend, ModelInfo, ModelRequest, ModelResponse,
    attempts::{Attempts, Won},
    cache::{Cache, Key},
    catalog::Catalog,
    client::UpstreamClient,
    commit, deployments,
    failure::unknown_model,
    instruments::Instruments,
    provider::Credentials,
    settings::ModelsSettings,
    shadow::Shadows,
    table::{Route, Table},
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use domain::{Class, RequestContext, Result};
use std::sync::Arc;
use tokio::time::Instant;

/// Routes requests by the model they name. Clones share everything.
#[derive(Debug, Clone)]
pub struct Router {
    pub(crate) shared: Arc<Shared>,
}

/// What every request of a router reads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: ArcSwap<Table>,
    pub(crate) client: UpstreamClient,
    credentials: Credentials,
    instruments: Arc<Instruments>,
    cache: Cache,
    pub(crate) shadows: Shadows,
}

impl Router {
    /// A router for `catalog` that calls through `client`.
    #[must_use]
    pub fn new(catalog: Catalog, client: UpstreamClient, settings: &ModelsSettings) -> Self {
        let credentials = Credentials::default();
        let table = Table::new(catalog, &Table::default(), &credentials);
        let shared = Shared {
            table: ArcSwap::from_pointee(table),
            client,
            credentials,
            instruments: Arc::new(Instruments::new(settings.genai_conventions)),
            cache: Cache::new(settings.cache_bytes),
            shadows: Shadows::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes another catalog into use. Calls under way end as they began.
    pub fn swap(&self, catalog: Catalog) {
        let old = self.shared.table.load_full();
        self.shared.table.store(Arc::new(Table::new(catalog, &old, &self.shared.credentials)));
    }
}

#[async_trait]
impl ModelBackend for Router {
    async fn call(&self, ctx: &RequestContext, request: ModelRequest) -> Result<ModelResponse> {
        let table = self.shared.table.load_full();
        let route = table.route(&request.head.model).ok_or_else(|| unknown_model(&request.head.model))?;
        let key = Key::of(&route.model, ctx, &request);
        if let Some(key) = &key {
            let known = self.shared.cache.get(key).await;
            self.shared.instruments.cache_asked(&route.model.name, if known.is_some() { "hit" } else { "miss" });
            if let Some(known) = known {
                return Ok(known);
            }
        }
        self.shadow(&table, route, ctx, &request);
        let chain = table.chain(route);
        let (commit, is_stream, dialect) = (route.model.commit, request.head.stream, request.dialect);
        let answer = answer(self.shared.clone(), chain, ctx.clone(), request);
        let response = if is_stream { commit::late(answer, commit, dialect).await? } else { answer.await? };
        Ok(match key {
            Some(key) => self.shared.cache.keep(key, response),
            None => response,
        })
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        Ok(self.shared.table.load().infos.clone())
    }

    async fn deployments(&self) -> Result<Vec<DeploymentInfo>> {
        Ok(deployments::describe(&self.shared.table.load(), Instant::now()))
    }
}

impl Router {
    /// Sends a copy where the catalog says so, without waiting.
    fn shadow(&self, table: &Table, route: &Route, ctx: &RequestContext, request: &ModelRequest) {
        let Some(shadow) = &route.model.shadow else { return };
        let Some(to) = table.route(&shadow.model) else { return };
        // Counting is no work worth comparing.
        if request.dialect == Dialect::CountTokens || !Shadows::is_due(shadow.percent) {
            return;
        }
        // Nobody waits for a copy, so it never takes a place before somebody who does.
        let ctx = RequestContext { class: Class::Batch, ..ctx.clone() };
        let (chain, request) = (vec![to.clone()], request.clone());
        let is_sent = self.shared.shadows.send(answer(self.shared.clone(), chain, ctx, request));
        self.shared.instruments.shadowed(&route.model.name, if is_sent { "sent" } else { "dropped" });
    }
}

/// Has the request answered by the models of `chain`. Dropping the future or the body aborts the call.
#[expect(clippy::manual_async_fn, reason = "would hold what it is given twice")]
fn answer(
    shared: Arc<Shared>,
    chain: Vec<Arc<Route>>,
    ctx: RequestContext,
    request: ModelRequest,
) -> impl Future<Output = Result<ModelResponse>> + Send {
    async move {
        let mut attempts = Attempts::new(&shared.client, &shared.instruments, &ctx, &request);
        let Won { answered, account } = attempts.run(&chain).await?;
        let served = Some(account.served.clone());
        let body = account.keep(answered.body);
        Ok(ModelResponse { served, status: answered.status, headers: answered.headers, body })
    }
}
