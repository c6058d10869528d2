//! The paths that speak other APIs' words, described beside their handlers: what these bodies may hold is for the
//! documents of OpenAI and Anthropic to say.
#![expect(dead_code, reason = "the functions only carry their descriptions")]

use super::words::{EndpointWord, OrderWord, PriorityWord};
use crate::{
    batches::quote::BatchQuote,
    models::{Model, Models},
    usage,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{OpenApi, ToSchema};
use wire::{
    batch::{Batch, List, RunBetween},
    batch_audit::BatchAudit,
    error::ErrorBody,
    file::{File, FileDeleted},
    upload::{Upload, UploadPart},
};

#[derive(OpenApi)]
#[openapi(
    paths(
        home,
        chat,
        completions,
        embeddings,
        responses,
        messages,
        count_tokens,
        models,
        model,
        files,
        create_file,
        file,
        delete_file,
        content,
        create_upload,
        add_part,
        complete_upload,
        cancel_upload,
        batches,
        create_batch,
        batch,
        cancel_batch,
        patch_batch,
        quote_batch,
        pause_batch,
        resume_batch,
        batch_results,
        batch_audit,
        redrive_batch,
        usage::own
    ),
    components(schemas(ErrorBody))
)]
pub(super) struct PublicApi;

/// A body in the words of the API that the path belongs to. All its fields are read; these are named because Tandem reads
/// them.
#[derive(Serialize, ToSchema)]
struct ModelCall {
    /// The model's public name.
    model: String,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
struct FileForm {
    /// `batch`, or another purpose.
    purpose: String,
    /// The file.
    #[schema(format = Binary)]
    file: String,
    /// Always `created_at`.
    #[serde(rename = "expires_after[anchor]")]
    anchor: Option<String>,
    /// 3,600 to 2,592,000.
    #[serde(rename = "expires_after[seconds]")]
    seconds: Option<i64>,
}

/// A file that is fetched from a bucket, which the operator has to have listed.
#[derive(Serialize, ToSchema)]
struct ImportFile {
    /// `batch`, or another purpose.
    purpose: String,
    /// Where it is.
    #[schema(pattern = "^gs://[^/]+/.+$")]
    uri: String,
    /// How long the file lives.
    expires_after: Option<ExpiresAfter>,
}

#[derive(Serialize, ToSchema)]
struct CreateUpload {
    /// What the parts add up to.
    #[schema(minimum = 1)]
    bytes: u64,
    /// The name of the file.
    filename: String,
    /// What the file is.
    mime_type: String,
    /// `batch`, or another purpose.
    purpose: String,
    /// How long the file lives.
    expires_after: Option<ExpiresAfter>,
}

#[derive(Serialize, ToSchema)]
struct UploadPartForm {
    /// The bytes, 64 MiB at most.
    #[schema(format = Binary)]
    data: String,
}

#[derive(Serialize, ToSchema)]
struct CompleteUpload {
    /// The parts in the order in which they make the file.
    part_ids: Vec<String>,
    /// Of the whole file, in hexadecimal. All of it is read once more for this.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    md5: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct CreateBatch {
    /// A file of purpose `batch`.
    input_file_id: String,
    /// What every line calls.
    #[schema(value_type = EndpointWord)]
    endpoint: String,
    /// `1h` to `168h`, `1d` to `7d`.
    #[schema(pattern = "^[1-9][0-9]{0,2}[hd]$")]
    completion_window: String,
    /// Up to 16 pairs.
    metadata: Option<BTreeMap<String, String>>,
    /// How long the output files live.
    output_expires_after: Option<ExpiresAfter>,
    /// Its place among the tenant's batches; `standard` where it is not said.
    #[schema(value_type = Option<PriorityWord>)]
    priority: Option<String>,
    /// No line begins before this time, in Unix seconds.
    not_before: Option<i64>,
    /// Lines begin only within this part of the day, in UTC.
    run_between: Option<RunBetween>,
    /// Lines in flight at once.
    #[schema(minimum = 1, maximum = 100_000)]
    max_concurrency: Option<i64>,
    /// Ask identical lines of a shard once if they are deterministic: temperature 0, a seed, or embeddings.
    dedup: Option<bool>,
}

/// What is to become of a batch. What is not said stays as it is; null takes back what was set.
#[derive(Serialize, ToSchema)]
struct PatchBatch {
    /// Its place among the tenant's batches.
    #[schema(value_type = Option<PriorityWord>)]
    priority: Option<String>,
    /// No line begins before this time, in Unix seconds.
    not_before: Option<i64>,
    /// Lines begin only within this part of the day, in UTC.
    run_between: Option<RunBetween>,
    /// Lines in flight at once.
    #[schema(minimum = 1, maximum = 100_000)]
    max_concurrency: Option<i64>,
    /// Another deadline, in Unix seconds; at most seven days from now.
    expires_at: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct Redrive {
    /// How the lines ended: `failed`, `expired`, `cancelled`, `quarantined`.
    lines: Vec<String>,
    /// As of the first batch where it is not said.
    #[schema(pattern = "^[1-9][0-9]{0,2}[hd]$")]
    completion_window: Option<String>,
    /// As of the first batch where it is not said.
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, ToSchema)]
struct ExpiresAfter {
    /// Always `created_at`.
    anchor: String,
    /// After the making.
    #[schema(minimum = 3_600, maximum = 2_592_000)]
    seconds: i64,
}

/// What a person sees who opens the address.
#[utoipa::path(get, path = "/", tag = "Service", security(()), responses((status = 200, body = String, content_type = "text/html")))]
fn home() {}

/// Answer a conversation, in OpenAI's words.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "Inference", request_body = ModelCall, responses((status = 200, content((Value = "application/json"), (String = "text/event-stream")))))]
fn chat() {}

/// Continue a text, in OpenAI's words.
#[utoipa::path(post, path = "/v1/completions", tag = "Inference", request_body = ModelCall, responses((status = 200, content((Value = "application/json"), (String = "text/event-stream")))))]
fn completions() {}

/// Embed texts, in OpenAI's words.
#[utoipa::path(post, path = "/v1/embeddings", tag = "Inference", request_body = ModelCall, responses((status = 200, body = Value)))]
fn embeddings() {}

/// Answer statelessly, in the words of OpenAI's Responses.
#[utoipa::path(post, path = "/v1/responses", tag = "Inference", request_body = ModelCall, responses((status = 200, content((Value = "application/json"), (String = "text/event-stream")))))]
fn responses() {}

/// Answer a conversation, in Anthropic's words, also where it fails.
#[utoipa::path(post, path = "/v1/messages", tag = "Inference", request_body = ModelCall, responses((status = 200, content((Value = "application/json"), (String = "text/event-stream")))))]
fn messages() {}

/// Count the tokens of a conversation, in Anthropic's words.
#[utoipa::path(post, path = "/v1/messages/count_tokens", tag = "Inference", request_body = ModelCall, responses((status = 200, body = Value)))]
fn count_tokens() {}

/// List the models that may be asked.
#[utoipa::path(get, path = "/v1/models", tag = "Models", responses((status = 200, body = Models)))]
fn models() {}

/// Read a model. Its name may contain slashes.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "Models", responses((status = 200, body = Model)))]
fn model() {}

/// List files, newest first.
#[utoipa::path(get, path = "/v1/files", tag = "Files", params(
    ("after" = Option<String>, Query, description = "Give what comes after the file of this id."),
    ("limit" = Option<i64>, Query, minimum = 1, maximum = 10_000, description = "At most this many."),
    ("order" = inline(Option<OrderWord>), Query, description = "By the time of making."),
    ("purpose" = Option<String>, Query, description = "Of this purpose only.")
), responses((status = 200, body = List<File>)))]
fn files() {}

/// Upload a file, or have it fetched from a bucket.
#[utoipa::path(post, path = "/v1/files", tag = "Files", request_body(content((FileForm = "multipart/form-data"), (ImportFile = "application/json"))), responses((status = 200, body = File)))]
fn create_file() {}

/// Read what is known of a file.
#[utoipa::path(get, path = "/v1/files/{id}", tag = "Files", responses((status = 200, body = File)))]
fn file() {}

/// Delete a file.
#[utoipa::path(delete, path = "/v1/files/{id}", tag = "Files", responses((status = 200, body = FileDeleted)))]
fn delete_file() {}

/// Download a file, or a range of it.
#[utoipa::path(get, path = "/v1/files/{id}/content", tag = "Files", responses(
    (status = 200, content((String = "application/jsonl"), (String = "application/octet-stream"))),
    (status = 206, content((String = "application/jsonl"), (String = "application/octet-stream"))),
    (status = 304),
    (status = 416, body = ErrorBody)
))]
fn content() {}

/// Begin a file that comes in parts.
#[utoipa::path(post, path = "/v1/uploads", tag = "Files", request_body = CreateUpload, responses((status = 200, body = Upload)))]
fn create_upload() {}

/// Send a part. Parts may come side by side and in any order.
#[utoipa::path(post, path = "/v1/uploads/{id}/parts", tag = "Files", request_body(content = UploadPartForm, content_type = "multipart/form-data"), responses((status = 200, body = UploadPart)))]
fn add_part() {}

/// Make a file of the parts. Sent again it answers the same.
#[utoipa::path(post, path = "/v1/uploads/{id}/complete", tag = "Files", request_body = CompleteUpload, responses((status = 200, body = Upload)))]
fn complete_upload() {}

/// Give an upload up.
#[utoipa::path(post, path = "/v1/uploads/{id}/cancel", tag = "Files", responses((status = 200, body = Upload)))]
fn cancel_upload() {}

/// List batches, newest first.
#[utoipa::path(get, path = "/v1/batches", tag = "Batches", params(
    ("after" = Option<String>, Query, description = "Give what comes after the batch of this id."),
    ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "At most this many.")
), responses((status = 200, body = List<Batch>)))]
fn batches() {}

/// Make a batch.
#[utoipa::path(post, path = "/v1/batches", tag = "Batches", request_body = CreateBatch, responses((status = 200, body = Batch)))]
fn create_batch() {}

/// Read a batch.
#[utoipa::path(get, path = "/v1/batches/{id}", tag = "Batches", responses((status = 200, body = Batch)))]
fn batch() {}

/// Read the records of a batch in the order of its input, before it has ended too: those of the lines after `after_line`, up to
/// the first line without a record. `x-tandem-last-line` is the `after_line` of the next page, `x-tandem-has-more` says whether
/// there will be one. With `Accept: text/event-stream` they come as events until the batch has ended.
#[utoipa::path(get, path = "/v1/batches/{id}/results", tag = "Batches", params(
    ("after_line" = Option<i64>, Query, minimum = 0, description = "The number of the last line that you have; lines are counted from 1."),
    ("limit" = Option<i64>, Query, minimum = 1, maximum = 10_000, description = "At most this many; 1,000 where it is not said.")
), responses((status = 200, content((String = "application/jsonl"), (String = "text/event-stream")))))]
fn batch_results() {}

/// Read what became of the lines of a batch, shard by shard, with the checksums of its files.
#[utoipa::path(get, path = "/v1/batches/{id}/audit", tag = "Batches", params(
    ("after_shard" = Option<i64>, Query, minimum = -1, description = "Give the shards after this one: the `last_shard` of the page before."),
    ("limit" = Option<i64>, Query, minimum = 1, maximum = 1_000, description = "At most this many shards; 500 where it is not said.")
), responses((status = 200, body = BatchAudit)))]
fn batch_audit() {}

/// Make a batch of those lines of an ended one that were not answered.
#[utoipa::path(post, path = "/v1/batches/{id}/redrive", tag = "Batches", request_body = Redrive, responses((status = 200, body = Batch)))]
fn redrive_batch() {}

/// Cancel a batch.
#[utoipa::path(post, path = "/v1/batches/{id}/cancel", tag = "Batches", responses((status = 200, body = Batch)))]
fn cancel_batch() {}

/// Change a batch that runs: its place, its times, its size, its deadline.
#[utoipa::path(patch, path = "/v1/batches/{id}", tag = "Batches", request_body = PatchBatch, responses((status = 200, body = Batch)))]
fn patch_batch() {}

/// Let no more lines of a batch begin; those in flight finish.
#[utoipa::path(post, path = "/v1/batches/{id}/pause", tag = "Batches", responses((status = 200, body = Batch)))]
fn pause_batch() {}

/// Go on with a paused batch.
#[utoipa::path(post, path = "/v1/batches/{id}/resume", tag = "Batches", params(
    ("extend_deadline" = Option<bool>, Query, description = "Whether the deadline moves by as long as the pause was.")
), responses((status = 200, body = Batch)))]
fn resume_batch() {}

/// Say what a batch would take. Nothing is reserved.
#[utoipa::path(post, path = "/v1/batches/quote", tag = "Batches", request_body = CreateBatch, responses((status = 200, body = BatchQuote)))]
fn quote_batch() {}
