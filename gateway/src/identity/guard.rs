//! The door of routes, as a tower service: a caller who is known in memory goes straight on, without the boxed services and
//! futures of axum's middlewares.

use super::{bearer, scopes};
use crate::{
    app::App,
    replay::{self, Rest},
};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use chassis::http::ApiError;
use domain::{Caller, Class, RequestContext, RequestId, Result, Scope, TraceContext, Wishes};
use futures::future::{BoxFuture, Either};
use http::Extensions;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Puts itself before routes or a handler.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(super) app: App,
    pub(super) scope: Scope,
}

/// What stands behind its guard.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    rest: S,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, rest: S) -> Guarded<S> {
        Guarded { guard: self.clone(), rest }
    }
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if !replay::is_wanted(request.headers())
            && let Some(caller) = self.guard.known(&request)
        {
            enter(&mut request, caller);
            return Either::Left(self.rest.call(request));
        }
        let Self { guard, rest } = self.clone();
        Either::Right(Box::pin(async move { Ok(guard.admit(request, Rest::new(rest)).await.into_response()) }))
    }
}

impl Guard {
    /// The caller, if memory knows that they may pass.
    fn known(&self, request: &Request) -> Option<Arc<Caller>> {
        let caller = self.app.gateway.identity.known(bearer::credential(request.headers()).ok()?)?;
        scopes::require(&caller, self.scope).is_ok().then_some(caller)
    }

    async fn admit(&self, mut request: Request, rest: Rest) -> Result<Response, ApiError> {
        let caller = self.app.gateway.identity.caller(bearer::credential(request.headers())?).await?;
        scopes::require(&caller, self.scope)?;
        enter(&mut request, caller);
        replay::once(&self.app, request, rest).await
    }
}

/// Hands the handler who asks.
fn enter(request: &mut Request, caller: Arc<Caller>) {
    let extensions = request.extensions_mut();
    let context = context(extensions, &caller);
    extensions.insert(caller);
    extensions.insert(context);
}

/// Takes in what the shell has left there: the map need not grow for what comes in its place.
fn context(extensions: &mut Extensions, caller: &Caller) -> RequestContext {
    RequestContext {
        request_id: extensions.remove::<RequestId>().unwrap_or_else(RequestId::generate),
        tenant: caller.tenant.clone(),
        key: caller.key.clone(),
        class: Class::Interactive,
        trace: extensions.remove::<TraceContext>(),
        deadline: None,
        // What the caller may wish for; what is wished stands in the request.
        wishes: Wishes { explain: caller.scopes.contains(Scope::Admin), ..Wishes::default() },
    }
}
