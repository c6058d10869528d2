//! `/v1/batches`: create, read, list, cancel. A batch is a row; the queue only hears that there is one.

pub(crate) mod audit;
pub(crate) mod backlog;
pub(crate) mod controls;
mod forecast;
pub(crate) mod quote;
pub(crate) mod redrive;
pub(crate) mod results;
mod terms;

use crate::{
    app::{App, Gateway},
    convert,
    extract::{ApiJson, ApiPath, ApiQuery},
    identity, paging,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use domain::{
    BatchId, Caller, Endpoint, Error, FileId, Pointer, PointerKind, RequestContext, Result, Terms,
    completion_window_secs,
};
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use store::{BatchRow, FileIndex, NewBatch};
use wire::batch::{Batch, List};

const METADATA_PAIRS: usize = 16;
const METADATA_KEY_CHARS: usize = 64;
const METADATA_VALUE_CHARS: usize = 512;

/// The body of `POST /v1/batches`. Every field is optional here so that a missing one gets a refusal of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBatch {
    input_file_id: Option<String>,
    endpoint: Option<String>,
    completion_window: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
    output_expires_after: Option<ExpiresAfter>,
    priority: Option<String>,
    not_before: Option<i64>,
    run_between: Option<terms::RunBetween>,
    max_concurrency: Option<i64>,
    /// Whether identical deterministic lines are asked once.
    dedup: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// `POST /v1/batches`
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(context): Extension<RequestContext>,
    ApiJson(body): ApiJson<CreateBatch>,
) -> Result<Json<Batch>, ApiError> {
    let mut new = to_new_batch(&context, body)?;
    if let Some(index) = require_input(&app.gateway, &caller, &new).await? {
        new.tokens = index.tokens_by_model();
    }
    let row = app.gateway.store.insert_batch(new).await?;
    ring(&app.gateway, &context, PointerKind::Validate, &row.id).await;
    Ok(Json(show(&app.gateway, row).await?))
}

/// `GET /v1/batches/{id}`
pub(crate) async fn one(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Batch>, ApiError> {
    let row = find(&app.gateway, &context, &id).await?;
    Ok(Json(show(&app.gateway, row).await?))
}

/// `GET /v1/batches`
pub(crate) async fn list(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<Batch>>, ApiError> {
    let store = &app.gateway.store;
    let limit = paging::limit(query.limit.as_deref(), 20, 100)?;
    let after = query.after.map(BatchId::from_string);
    let (rows, has_more) = store.list_batches(&context.tenant, after.as_ref(), limit).await?;
    let page = show_all(&app.gateway, rows).await?;
    Ok(Json(List::new(page, has_more, |batch: &Batch| &batch.id)))
}

/// `POST /v1/batches/{id}/cancel`
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Batch>, ApiError> {
    let row = app.gateway.store.cancel_batch(&context.tenant, &BatchId::from_string(&id)).await?;
    let row = row.ok_or_else(|| no_such_batch(&id))?;
    if !row.status.is_terminal() {
        ring(&app.gateway, &context, PointerKind::Finalize, &row.id).await;
    }
    Ok(Json(show(&app.gateway, row).await?))
}

/// The caller's batch of that id.
pub(crate) async fn find(gateway: &Gateway, context: &RequestContext, id: &str) -> Result<BatchRow> {
    let row = gateway.store.batch(&context.tenant, &BatchId::from_string(id)).await?;
    row.ok_or_else(|| no_such_batch(id))
}

/// The object of a batch.
pub(crate) async fn show(gateway: &Gateway, row: BatchRow) -> Result<Batch> {
    let models = gateway.store.model_usage(&[&row.id]).await?.remove(&row.id).unwrap_or_default();
    convert::batch(row, &models)
}

/// The objects of several batches, in their order.
pub(crate) async fn show_all(gateway: &Gateway, rows: Vec<BatchRow>) -> Result<Vec<Batch>> {
    let ids: Vec<_> = rows.iter().map(|row| &row.id).collect();
    let models = gateway.store.model_usage(&ids).await?;
    let object = |row: BatchRow| {
        let models = models.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        convert::batch(row, models)
    };
    rows.into_iter().map(object).collect()
}

/// Tells the workers at once. When that fails, the sweep finds the row a few seconds later.
pub(crate) async fn ring(gateway: &Gateway, context: &RequestContext, kind: PointerKind, id: &BatchId) {
    let pointer = Pointer { traceparent: context.traceparent.clone(), ..Pointer::new(kind, id.as_str()) };
    let pointers = [pointer];
    let limit = Duration::from_millis(gateway.settings.ring_timeout_ms);
    match tokio::time::timeout(limit, gateway.doorbell.ring(&pointers)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(batch.id = %id, error = %error.chain(), "the queue refused a pointer"),
        Err(_) => tracing::warn!(batch.id = %id, "the queue did not take a pointer in time"),
    }
}

/// What is known of the lines of the input, which the caller must be allowed to use.
async fn require_input(gateway: &Gateway, caller: &Caller, new: &NewBatch) -> Result<Option<FileIndex>> {
    let id = &new.input_file_id;
    let file = gateway
        .store
        .file(&new.tenant, id)
        .await?
        .ok_or_else(|| Error::not_found(format!("No such File object: {id}")).with_param("input_file_id"))?;
    if file.purpose != "batch" {
        let message = format!("The file {id} has purpose '{}'; a batch needs one of purpose 'batch'.", file.purpose);
        return Err(Error::invalid(message).with_param("input_file_id"));
    }
    let index = file.index.as_deref().map(serde_json::from_str::<FileIndex>).transpose().map_err(Error::internal)?;
    if let Some(index) = &index {
        identity::require_models(caller, index)?;
    }
    Ok(index)
}

pub(crate) fn no_such_batch(id: &str) -> Error {
    Error::not_found(format!("No batch found with id '{id}'."))
}

fn to_new_batch(context: &RequestContext, body: CreateBatch) -> Result<NewBatch> {
    let input = required(body.input_file_id, "input_file_id")?;
    let endpoint = to_endpoint(&required(body.endpoint, "endpoint")?)?;
    let window_secs = to_window(&required(body.completion_window, "completion_window")?)?;
    let terms = Terms {
        priority: body.priority.as_deref().map(terms::priority).transpose()?.unwrap_or_default(),
        not_before_ms: body.not_before.map(|secs| terms::time("not_before", secs)).transpose()?,
        run_between: body.run_between.as_ref().map(terms::run_between).transpose()?,
        max_concurrency: body.max_concurrency.map(terms::max_concurrency).transpose()?,
    };
    Ok(NewBatch {
        id: BatchId::generate(),
        tenant: context.tenant.clone(),
        endpoint,
        input_file_id: FileId::from_string(input),
        window_secs,
        metadata: body.metadata.map(to_metadata).transpose()?,
        output_expires_secs: body.output_expires_after.map(to_ttl).transpose()?,
        traceparent: context.traceparent.clone(),
        terms,
        tokens: Vec::new(),
        dedup: body.dedup.unwrap_or(false),
        redrive_of: None,
    })
}

fn required(value: Option<String>, name: &str) -> Result<String> {
    value.ok_or_else(|| {
        Error::invalid(format!("Missing required parameter: '{name}'."))
            .with_param(name)
            .with_code("missing_required_parameter")
    })
}

fn to_endpoint(text: &str) -> Result<Endpoint> {
    Endpoint::parse(text).ok_or_else(|| {
        let allowed = Endpoint::ALL.map(Endpoint::as_str).join("', '");
        invalid("endpoint", format!("Invalid value: '{text}'. Supported values are: '{allowed}'."))
    })
}

pub(crate) fn to_window(text: &str) -> Result<i64> {
    completion_window_secs(text).ok_or_else(|| {
        let allowed = "'24h', or any whole number of hours from '1h' to '168h' or of days from '1d' to '7d'";
        invalid("completion_window", format!("Invalid value: '{text}'. Supported values are: {allowed}."))
    })
}

fn to_ttl(given: ExpiresAfter) -> Result<i64> {
    convert::ttl_secs("output_expires_after", &given.anchor, given.seconds)
}

pub(crate) fn to_metadata(pairs: serde_json::Map<String, Value>) -> Result<String> {
    if pairs.len() > METADATA_PAIRS {
        let count = pairs.len();
        return Err(invalid("metadata", format!("`metadata` has {count} pairs; {METADATA_PAIRS} are allowed.")));
    }
    for (key, value) in &pairs {
        judge_pair(key, value)?;
    }
    Ok(Value::Object(pairs).to_string())
}

fn judge_pair(key: &str, value: &Value) -> Result<()> {
    let short: String = key.chars().take(METADATA_KEY_CHARS).collect();
    if short.len() < key.len() {
        let message = format!("The key '{short}…' of `metadata` is longer than {METADATA_KEY_CHARS} characters.");
        return Err(invalid("metadata", message));
    }
    let Value::String(text) = value else {
        return Err(invalid(
            &format!("metadata.{key}"),
            format!("The value of '{key}' in `metadata` is not a string."),
        ));
    };
    if text.chars().count() > METADATA_VALUE_CHARS {
        let message = format!("The value of '{key}' in `metadata` is longer than {METADATA_VALUE_CHARS} characters.");
        return Err(invalid(&format!("metadata.{key}"), message));
    }
    Ok(())
}

pub(crate) fn invalid(param: &str, message: String) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(metadata: Value) -> Result<String> {
        let Value::Object(pairs) = metadata else { panic!("metadata is an object") };
        to_metadata(pairs)
    }

    #[test]
    fn metadata_is_kept_as_it_came() {
        let kept = judge(json!({"b": "1", "a": "é"})).unwrap();

        assert_eq!(kept, r#"{"b":"1","a":"é"}"#);
    }

    #[test]
    fn metadata_bounds_are_inclusive() {
        let longest = json!({ "k".repeat(64): "v".repeat(512) });
        let most = (0..16).map(|n| (n.to_string(), json!("v"))).collect();

        assert!(judge(longest).is_ok());
        assert!(to_metadata(most).is_ok());
    }

    #[test]
    fn metadata_beyond_its_bounds_is_refused() {
        let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("v"))).collect();

        for bad in
            [json!({ "k".repeat(65): "v" }), json!({ "k": "v".repeat(513) }), json!({"k": 1}), json!({"k": null})]
        {
            assert!(judge(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(to_metadata(many).unwrap_err().param(), Some("metadata"));
    }
}
