//! The door of routes, as a tower service: a caller who is known in memory goes straight on to the route, without the boxed services and
//! futures of axum's middlewares.

use super::{bearer, scopes};
use crate::{app::App, replay};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
    routing::{Route, future::RouteFuture},
};
use chassis::{http::ApiError, trace::TraceContext};
use domain::{Caller, Class, RequestContext, RequestId, Result, Scope, Wishes};
use futures::future::{BoxFuture, Either};
use http::Extensions;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Puts itself before routes.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) app: App,
    pub(super) scope: Scope,
}

/// A route behind its guard.
#[derive(Clone)]
pub(super) struct Guarded {
    guard: Guard,
    route: Route,
}

impl Layer<Route> for Guard {
    type Service = Guarded;

    fn layer(&self, route: Route) -> Guarded {
        Guarded { guard: self.clone(), route }
    }
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<RouteFuture<Infallible>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.route, cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if !replay::is_wanted(request.headers())
            && let Some(caller) = self.guard.known(&request)
        {
            enter(&mut request, caller);
            return Either::Left(self.route.call(request));
        }
        let Self { guard, route } = self.clone();
        Either::Right(Box::pin(async move { Ok(guard.admit(request, route).await.into_response()) }))
    }
}

impl Guard {
    /// The caller, if memory knows that they may pass.
    fn known(&self, request: &Request) -> Option<Arc<Caller>> {
        let caller = self.app.gateway.identity.known(bearer::credential(request.headers()).ok()?)?;
        scopes::require(&caller, self.scope).is_ok().then_some(caller)
    }

    async fn admit(&self, mut request: Request, route: Route) -> Result<Response, ApiError> {
        let caller = self.app.gateway.identity.caller(bearer::credential(request.headers())?).await?;
        scopes::require(&caller, self.scope)?;
        enter(&mut request, caller);
        replay::once(&self.app, request, route).await
    }
}

/// Hands the handler who asks.
fn enter(request: &mut Request, caller: Arc<Caller>) {
    let context = context(request.extensions(), &caller);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(context);
}

fn context(extensions: &Extensions, caller: &Caller) -> RequestContext {
    RequestContext {
        request_id: extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::generate),
        tenant: caller.tenant.clone(),
        key: caller.key.clone(),
        class: Class::Interactive,
        traceparent: extensions.get::<TraceContext>().map(TraceContext::traceparent),
        deadline: None,
        // What the caller may wish for; what is wished stands in the request.
        wishes: Wishes { explain: caller.scopes.contains(Scope::Admin), ..Wishes::default() },
    }
}
