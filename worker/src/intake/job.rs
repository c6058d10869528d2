//! A job as a message: the contract is docs/schemas/job.v1.json.

use domain::{Error, Result, TenantId};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use store::{Submission, request::BatchRequest};

/// The version that is read here.
const VERSION: u64 = 1;
/// Pub/Sub takes up to 10 MB; larger inputs are files.
const MAX_BYTES: usize = 4 << 20;
const MAX_LINES: usize = 256;
/// Of `submission_id` and `reply_to`, in characters.
const MAX_NAME: usize = 128;

/// A job that may become a batch.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) tenant: TenantId,
    pub(super) submission: Submission,
    /// Without its input.
    pub(super) request: BatchRequest,
    pub(super) input: Input,
}

/// Where its lines are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Input {
    /// In a file that the tenant has uploaded.
    FileId(String),
    /// In an object of a bucket, `gs://bucket/object`.
    Uri(String),
    /// Here.
    Lines(Vec<Box<RawValue>>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    v: u64,
    submission_id: String,
    tenant: String,
    batch: BatchRequest,
    input: Input,
    reply_to: Option<String>,
}

impl Job {
    /// Reads a message.
    ///
    /// # Errors
    /// InvalidRequest, with what is wrong and what is allowed.
    pub(super) fn read(message: &[u8]) -> Result<Self> {
        if message.len() > MAX_BYTES {
            let length = message.len();
            return Err(Error::invalid(format!(
                "The message has {length} bytes; {MAX_BYTES} are allowed. Upload the lines as a file."
            )));
        }
        let digest = Sha256::digest(message).into();
        let message: Message = serde_json::from_slice(message).map_err(|error| {
            Error::invalid(format!("The message is no job: {error}. docs/schemas/job.v1.json says what one is."))
        })?;
        if message.v != VERSION {
            let text = format!("The message has version {}; version {VERSION} is read here.", message.v);
            return Err(Error::invalid(text).with_param("v"));
        }
        judge_name("submission_id", &message.submission_id)?;
        message.reply_to.as_deref().map_or(Ok(()), |name| judge_name("reply_to", name))?;
        if message.batch.input_file_id.is_some() {
            return Err(Error::invalid("The input of a job is named in `input`.").with_param("batch.input_file_id"));
        }
        judge_input(&message.input)?;
        Ok(Self {
            tenant: TenantId::from_string(message.tenant),
            submission: Submission { id: message.submission_id, digest, reply_to: message.reply_to },
            request: message.batch,
            input: message.input,
        })
    }
}

fn judge_name(param: &str, name: &str) -> Result<()> {
    let count = name.chars().count();
    if (1..=MAX_NAME).contains(&count) && !name.contains(char::is_control) {
        return Ok(());
    }
    let text =
        format!("`{param}` has {count} characters; 1 to {MAX_NAME} are allowed, none of them a control character.");
    Err(Error::invalid(text).with_param(param))
}

fn judge_input(input: &Input) -> Result<()> {
    match input {
        Input::Lines(lines) if lines.is_empty() || lines.len() > MAX_LINES => {
            let count = lines.len();
            let text = format!("`input.lines` has {count} lines; 1 to {MAX_LINES} are allowed. Upload more as a file.");
            Err(Error::invalid(text).with_param("input.lines"))
        }
        Input::Lines(_) | Input::FileId(_) | Input::Uri(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job() -> Value {
        json!({
            "v": 1,
            "submission_id": "nightly-1",
            "tenant": "tenant_1",
            "batch": {"endpoint": "/v1/chat/completions", "completion_window": "24h", "priority": "idle", "metadata": {"k": "v"}},
            "input": {"lines": [{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}]},
            "reply_to": "answers",
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut job = job();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        job.pointer_mut(parent).unwrap()[key] = value;
        job
    }

    /// Every message with what it must be: the schema and the code have to agree.
    fn examples() -> Vec<(Value, bool)> {
        let line = json!({});
        let mut without_tenant = job();
        without_tenant.as_object_mut().unwrap().remove("tenant");
        vec![
            (job(), true),
            (with("/input", json!({"file_id": "file-1"})), true),
            (with("/reply_to", Value::Null), true),
            (with("/input/lines", vec![line.clone(); 256].into()), true),
            (with("/input/lines", vec![line; 257].into()), false),
            (with("/input/lines", json!([])), false),
            (with("/input", json!({"file_id": "file-1", "lines": [{}]})), false),
            (with("/input", json!({"uri": "gs://bucket/in.jsonl"})), true),
            (with("/input", json!({"uri": "gs://bucket/in.jsonl", "lines": [{}]})), false),
            (with("/input", json!({"uri": 1})), false),
            (with("/input", json!({"url": "http://x"})), false),
            (with("/v", json!(2)), false),
            (with("/submission_id", json!("")), false),
            (with("/submission_id", json!("x".repeat(129))), false),
            (with("/submission_id", json!("a\nb")), false),
            (with("/reply_to", json!("")), false),
            (with("/batch/input_file_id", json!("file-1")), false),
            (with("/batch/speed", json!("high")), false),
            (with("/colour", json!("red")), false),
            (without_tenant, false),
            (json!([]), false),
        ]
    }

    #[test]
    fn what_is_allowed_is_read_and_nothing_else() {
        for (message, is_fine) in examples() {
            let read = Job::read(message.to_string().as_bytes());
            assert_eq!(read.is_ok(), is_fine, "{message}: {read:?}");
        }
        assert!(Job::read(&vec![b' '; MAX_BYTES + 1]).unwrap_err().message().contains("4194304"));
    }

    #[test]
    fn the_published_schema_says_the_same() {
        let schema: Value = serde_json::from_str(include_str!("../../../docs/schemas/job.v1.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();

        for (message, is_fine) in examples() {
            assert_eq!(schema.is_valid(&message), is_fine, "{message}");
        }
    }

    #[test]
    fn the_same_message_has_the_same_digest_and_another_one_has_not() {
        let digest = |job: Value| Job::read(job.to_string().as_bytes()).unwrap().submission.digest;

        assert_eq!(digest(job()), digest(job()));
        assert_ne!(digest(job()), digest(with("/batch/priority", json!("urgent"))));
    }
}
