//! A batch as its owner asks for it, over HTTP or in a message: what may be said, and what becomes of it.

mod terms;

pub use terms::{RunBetween, max_concurrency, priority, run_between, time};

use crate::{FileIndex, NewBatch, Store};
use domain::{BatchId, Endpoint, Error, FileId, Result, TenantId, Terms, completion_window_secs};
use serde::Deserialize;
use serde_json::Value;

const METADATA_PAIRS: usize = 16;
const METADATA_KEY_CHARS: usize = 64;
const METADATA_VALUE_CHARS: usize = 512;

/// How long a file may be kept, in seconds: an hour to thirty days.
const TTL_SECS: std::ops::RangeInclusive<i64> = 3_600..=2_592_000;

/// The body of `POST /v1/batches`. Every field is optional here so that a missing one gets a refusal of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// Where the lines are.
    pub input_file_id: Option<String>,
    endpoint: Option<String>,
    completion_window: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
    output_expires_after: Option<ExpiresAfter>,
    priority: Option<String>,
    not_before: Option<i64>,
    run_between: Option<RunBetween>,
    max_concurrency: Option<i64>,
    /// Whether identical deterministic lines are asked once.
    dedup: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: i64,
}

impl BatchRequest {
    /// The batch that is asked for, with a new id; the tokens of its lines are for the caller to add.
    ///
    /// # Errors
    /// For whatever is missing or not allowed, by its name.
    pub fn to_new_batch(self, tenant: TenantId, traceparent: Option<String>) -> Result<NewBatch> {
        let input = required(self.input_file_id, "input_file_id")?;
        let endpoint = to_endpoint(&required(self.endpoint, "endpoint")?)?;
        let window_secs = window(&required(self.completion_window, "completion_window")?)?;
        let expires = self.output_expires_after;
        let terms = Terms {
            priority: self.priority.as_deref().map(priority).transpose()?.unwrap_or_default(),
            not_before_ms: self.not_before.map(|secs| time("not_before", secs)).transpose()?,
            run_between: self.run_between.as_ref().map(run_between).transpose()?,
            max_concurrency: self.max_concurrency.map(max_concurrency).transpose()?,
        };
        Ok(NewBatch {
            id: BatchId::generate(),
            tenant,
            endpoint,
            input_file_id: FileId::from_string(input),
            window_secs,
            metadata: self.metadata.map(metadata).transpose()?,
            output_expires_secs: expires
                .map(|given| ttl_secs("output_expires_after", &given.anchor, given.seconds))
                .transpose()?,
            traceparent,
            terms,
            tokens: Vec::new(),
            dedup: self.dedup.unwrap_or(false),
            redrive_of: None,
        })
    }
}

impl Store {
    /// What is known of the lines of a new batch's input. `None`: nothing yet, as with files of other purposes in older versions.
    ///
    /// # Errors
    /// NotFound when the tenant has no such file, InvalidRequest when it is of another purpose.
    pub async fn require_batch_input(&self, new: &NewBatch) -> Result<Option<FileIndex>> {
        let id = &new.input_file_id;
        let file = self
            .file(&new.tenant, id)
            .await?
            .ok_or_else(|| Error::not_found(format!("No such File object: {id}")).with_param("input_file_id"))?;
        if file.purpose != "batch" {
            let purpose = file.purpose;
            let message = format!("The file {id} has purpose '{purpose}'; a batch needs one of purpose 'batch'.");
            return Err(Error::invalid(message).with_param("input_file_id"));
        }
        file.index.as_deref().map(serde_json::from_str::<FileIndex>).transpose().map_err(Error::internal)
    }
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

/// A completion window in seconds.
///
/// # Errors
/// For any other word.
pub fn window(text: &str) -> Result<i64> {
    completion_window_secs(text).ok_or_else(|| {
        let allowed = "'24h', or any whole number of hours from '1h' to '168h' or of days from '1d' to '7d'";
        invalid("completion_window", format!("Invalid value: '{text}'. Supported values are: {allowed}."))
    })
}

/// The metadata as it is kept.
///
/// # Errors
/// For too many pairs, and for keys or values that are too long or no strings.
pub fn metadata(pairs: serde_json::Map<String, Value>) -> Result<String> {
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

/// The error for a value that is not allowed.
#[must_use]
pub fn invalid(param: &str, message: String) -> Error {
    Error::invalid(message).with_param(param).with_code("invalid_value")
}

/// Judges `{anchor, seconds}`; `param` is its name in the request.
///
/// # Errors
/// For another anchor than `created_at`, and for a time that is too short or too long.
pub fn ttl_secs(param: &str, anchor: &str, seconds: i64) -> Result<i64> {
    let refuse = |field: &str, message: String| {
        Err(Error::invalid(message).with_param(format!("{param}.{field}")).with_code("invalid_value"))
    };
    if anchor != "created_at" {
        return refuse("anchor", format!("Invalid value: '{anchor}'. Supported values are: 'created_at'."));
    }
    if !TTL_SECS.contains(&seconds) {
        let (least, most) = (TTL_SECS.start(), TTL_SECS.end());
        return refuse("seconds", format!("Invalid value: {seconds}. It must be from {least} to {most} seconds."));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(given: Value) -> Result<String> {
        let Value::Object(pairs) = given else { panic!("metadata is an object") };
        metadata(pairs)
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
        assert!(metadata(most).is_ok());
    }

    #[test]
    fn metadata_beyond_its_bounds_is_refused() {
        let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("v"))).collect();

        for bad in
            [json!({ "k".repeat(65): "v" }), json!({ "k": "v".repeat(513) }), json!({"k": 1}), json!({"k": null})]
        {
            assert!(judge(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(metadata(many).unwrap_err().param(), Some("metadata"));
    }

    #[test]
    fn the_bounds_of_an_expiry_are_inclusive() {
        for (seconds, is_fine) in [(3_599, false), (3_600, true), (2_592_000, true), (2_592_001, false), (-1, false)] {
            assert_eq!(ttl_secs("expires_after", "created_at", seconds).is_ok(), is_fine, "{seconds}");
        }
        assert_eq!(ttl_secs("x", "now", 3_600).unwrap_err().param(), Some("x.anchor"));
    }
}
