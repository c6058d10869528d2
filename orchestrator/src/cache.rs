//! Answers given before, for the same request of the same tenant: opt-in, bounded in bytes and in age.

use crate::{Frame, ModelBody, ModelRequest, ModelResponse, Outcome, Served, catalog::Model};
use bytes::{Bytes, BytesMut};
use domain::{RequestContext, Usage};
use futures::StreamExt;
use http::HeaderMap;
use moka::{Expiry, future::Cache as Moka};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer is kept for a caller who wishes so, where the model has no time of its own.
const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// A longer answer is not kept.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The answers. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Cache(Moka<[u8; 32], Arc<Known>>);

/// Names a request of a tenant, whatever the order and spacing of its fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    hash: [u8; 32],
    ttl: Duration,
}

#[derive(Debug)]
struct Known {
    headers: HeaderMap,
    body: Bytes,
    usage: Option<Usage>,
    finish: Option<String>,
    served: Served,
    ttl: Duration,
}

struct PerAnswer;

impl Expiry<[u8; 32], Arc<Known>> for PerAnswer {
    fn expire_after_create(&self, _: &[u8; 32], known: &Arc<Known>, _: Instant) -> Option<Duration> {
        Some(known.ttl)
    }
}

impl Key {
    /// The key of a request that may be answered from the cache; `None` when neither model nor caller wishes that.
    pub(crate) fn of(model: &Model, ctx: &RequestContext, request: &ModelRequest) -> Option<Self> {
        let ttl = match (ctx.wishes.cache, model.cache_ttl) {
            (Some(false), _) | (None, None) => return None,
            (_, Some(ttl)) => ttl,
            (Some(true), None) => DEFAULT_TTL,
        };
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        let mut hasher = Sha256::new();
        for text in [ctx.tenant.as_str(), &model.name, request.dialect.as_str()] {
            hasher.update(text.as_bytes());
            hasher.update([0]);
        }
        hasher.update(canonical(&body).as_bytes());
        Some(Self { hash: hasher.finalize().into(), ttl })
    }
}

/// The same text for the same value: objects by the order of their keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields =
                fields.into_iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

impl Cache {
    /// A cache of at most `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |_: &[u8; 32], known: &Arc<Known>| u32::try_from(known.body.len() + 512).unwrap_or(u32::MAX);
        Self(Moka::builder().max_capacity(bytes).weigher(weigh).expire_after(PerAnswer).build())
    }

    pub(crate) async fn get(&self, key: &Key) -> Option<ModelResponse> {
        let known = self.0.get(&key.hash).await?;
        // Nothing was spent on it.
        let cost = Some(domain::Money::ZERO);
        let served = Some(Served { attempts: 0, cost, is_cached: true, explanation: None, ..known.served.clone() });
        let outcome =
            Outcome { usage: known.usage, finish: known.finish.clone(), served: served.clone(), ..Outcome::default() };
        let body = ModelBody::whole(known.body.clone(), outcome);
        Some(ModelResponse { served, status: http::StatusCode::OK, headers: known.headers.clone(), body })
    }

    /// The same answer, kept once it has come to a good end.
    pub(crate) fn keep(&self, key: Key, response: ModelResponse) -> ModelResponse {
        if response.status != http::StatusCode::OK {
            return response;
        }
        let ModelResponse { served, status, headers, mut body } = response;
        let (progress, cache, kept_headers) = (body.progress(), self.0.clone(), headers.clone());
        let frames = async_stream::stream! {
            let mut seen = Some(BytesMut::new());
            while let Some(frame) = body.next().await {
                match &frame {
                    Frame::Data(bytes) => note(&mut seen, bytes),
                    Frame::End(outcome) => {
                        if let Some(known) = known(&mut seen, outcome, kept_headers.clone(), key.ttl) {
                            cache.insert(key.hash, Arc::new(known)).await;
                        }
                    }
                }
                yield frame;
            }
        };
        ModelResponse { served, status, headers, body: ModelBody::new(frames).with_progress(progress) }
    }
}

fn note(seen: &mut Option<BytesMut>, bytes: &Bytes) {
    if seen.as_ref().is_some_and(|seen| seen.len() + bytes.len() > MAX_ANSWER_BYTES) {
        *seen = None;
    }
    if let Some(seen) = seen {
        seen.extend_from_slice(bytes);
    }
}

fn known(seen: &mut Option<BytesMut>, outcome: &Outcome, headers: HeaderMap, ttl: Duration) -> Option<Known> {
    let body = seen.take()?.freeze();
    let served = outcome.served.clone()?;
    let (usage, finish) = (outcome.usage, outcome.finish.clone());
    outcome.error.is_none().then_some(Known { headers, body, usage, finish, served, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;
    use domain::{Class, RequestId, TenantId, Wishes};

    fn context(tenant: &TenantId, cache: Option<bool>) -> RequestContext {
        RequestContext {
            request_id: RequestId::generate(),
            tenant: tenant.clone(),
            key: None,
            class: Class::Interactive,
            trace: None,
            deadline: None,
            wishes: Wishes { cache, ..Wishes::default() },
        }
    }

    fn key(tenant: &TenantId, cache: Option<bool>, ttl: Option<u64>, body: &str) -> Option<Key> {
        let model = Model { name: "m".into(), cache_ttl: ttl.map(Duration::from_secs), ..Model::default() };
        let request = ModelRequest::parse(Dialect::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap();
        Key::of(&model, &context(tenant, cache), &request)
    }

    const BODY: &str = r#"{"model":"m","temperature":0}"#;

    #[test]
    fn model_and_caller_both_may_opt_in_and_the_caller_may_opt_out() {
        let tenant = TenantId::generate();
        let ttl = |cache, ttl| key(&tenant, cache, ttl, BODY).map(|key| key.ttl.as_secs());

        assert_eq!([ttl(None, None), ttl(Some(false), Some(9))], [None, None]);
        assert_eq!(
            [ttl(None, Some(9)), ttl(Some(true), Some(9)), ttl(Some(true), None)],
            [Some(9), Some(9), Some(300)]
        );
    }

    #[test]
    fn order_and_spacing_do_not_matter_but_tenants_and_values_do() {
        let (tenant, other) = (TenantId::generate(), TenantId::generate());
        let hash = |tenant, body| key(tenant, Some(true), None, body).unwrap().hash;

        assert_eq!(hash(&tenant, BODY), hash(&tenant, r#"{ "temperature" : 0, "model":"m" }"#));
        assert_ne!(hash(&tenant, BODY), hash(&other, BODY));
        assert_ne!(hash(&tenant, BODY), hash(&tenant, r#"{"model":"m","temperature":1}"#));
    }

    async fn through(cache: &Cache, key: Key, outcome: Outcome) -> Bytes {
        let body = ModelBody::whole("answer".into(), outcome);
        let headers = HeaderMap::new();
        let response = ModelResponse { served: None, status: http::StatusCode::OK, headers, body };
        cache.keep(key, response).body.collect(100).await.unwrap().0
    }

    #[tokio::test]
    async fn an_answer_with_a_good_end_is_given_again_for_nothing() {
        let cache = Cache::new(1 << 20);
        let key = key(&TenantId::generate(), Some(true), None, BODY).unwrap();
        let served = Some(Served { deployment: "d".into(), attempts: 2, ..Served::default() });

        let first = through(&cache, key, Outcome { served, ..Outcome::default() }).await;
        let again = cache.get(&key).await.unwrap();

        let served = again.served.unwrap();
        assert_eq!((served.attempts, served.is_cached, served.cost), (0, true, Some(domain::Money::ZERO)));
        assert_eq!(again.body.collect(100).await.unwrap().0, first);
    }

    #[tokio::test]
    async fn a_broken_answer_is_not_kept() {
        let cache = Cache::new(1 << 20);
        let key = key(&TenantId::generate(), Some(true), None, BODY).unwrap();
        let error = Some(domain::Error::unavailable("cut"));

        through(&cache, key, Outcome { served: Some(Served::default()), error, ..Outcome::default() }).await;

        assert!(cache.get(&key).await.is_none());
    }
}
