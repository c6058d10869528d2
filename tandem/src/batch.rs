//! `tandem batch`: quote, submit, change, watch, read, redrive, cancel and download, through the public API.

mod records;
pub(crate) mod terms;
mod verify;

use crate::{
    api::Api,
    cli::{BatchAction, BatchArgs, BatchInput},
};
use anyhow::Context;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{
    Body, Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::{fs::File, io::AsyncWriteExt};
use tokio_util::io::ReaderStream;

const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: BatchArgs) -> anyhow::Result<ExitCode> {
    if let BatchAction::Verify { input, output, errors, audit } = args.action {
        return records::prove(input, output, errors, audit).await;
    }
    let api = Api::new(&args.api)?;
    match args.action {
        BatchAction::Submit { input, dedup, watch, json } => {
            let mut create = upload(&api, &input).await?;
            create["dedup"] = dedup.into();
            let batch = api.json(api.request(Method::POST, "/v1/batches").json(&create)).await?;
            if watch {
                return follow(&api, text(&batch, "id"), json).await;
            }
            print_batch(&batch, json);
        }
        BatchAction::Quote { input } => {
            let create = upload(&api, &input).await?;
            println!("{:#}", api.json(api.request(Method::POST, "/v1/batches/quote").json(&create)).await?);
        }
        BatchAction::Set { id, terms, deadline, json } => {
            let mut patch = terms.to_json();
            patch.extend(deadline.map(|deadline| ("expires_at".to_owned(), deadline)));
            let request = api.request(Method::PATCH, &path(&id, "")).json(&patch);
            print_batch(&api.json(request).await?, json);
        }
        BatchAction::Pause { id, json } => {
            print_batch(&api.json(api.request(Method::POST, &path(&id, "/pause"))).await?, json);
        }
        BatchAction::Resume { id, extend_deadline, json } => {
            let rest = format!("/resume?extend_deadline={extend_deadline}");
            print_batch(&api.json(api.request(Method::POST, &path(&id, &rest))).await?, json);
        }
        BatchAction::Watch { id, json } => return follow(&api, &id, json).await,
        BatchAction::Cancel { id, json } => {
            let batch = api.json(api.request(Method::POST, &path(&id, "/cancel"))).await?;
            print_batch(&batch, json);
        }
        BatchAction::Download { id, output } => download(&api, &id, &output).await?,
        BatchAction::Get { id, json } => print_batch(&api.json(api.request(Method::GET, &path(&id, ""))).await?, json),
        BatchAction::List { limit, after, json } => list(&api, limit, after, json).await?,
        BatchAction::Results { id, after_line } => records::results(&api, &id, after_line).await?,
        BatchAction::Audit { id } => println!("{}", serde_json::to_string(&records::audit(&api, &id).await?)?),
        BatchAction::Redrive { id, lines, window, json } => {
            let body = json!({"lines": lines, "completion_window": window});
            let batch = api.json(api.request(Method::POST, &path(&id, "/redrive")).json(&body)).await?;
            print_batch(&batch, json);
        }
        // Needs no API and was done before.
        BatchAction::Verify { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/batches/{id}{rest}")
}

async fn list(api: &Api, limit: u8, after: Option<String>, json: bool) -> anyhow::Result<()> {
    let query = [("limit", Some(limit.to_string())), ("after", after)];
    let page = api.json(api.request(Method::GET, "/v1/batches").query(&query)).await?;
    for batch in page["data"].as_array().into_iter().flatten() {
        print_batch(batch, json);
    }
    Ok(())
}

/// Uploads the input and gives the request for a batch of it.
async fn upload(api: &Api, input: &BatchInput) -> anyhow::Result<Value> {
    let path = &input.file;
    let file = File::open(path).await.with_context(|| format!("can't read {}", path.display()))?;
    let bytes = file.metadata().await?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let part = Part::stream_with_length(Body::wrap_stream(ReaderStream::new(file)), bytes).file_name(name);
    let form = Form::new().text("purpose", "batch").part("file", part);
    let uploaded = api.json(api.request(Method::POST, "/v1/files").multipart(form)).await?;
    let mut create = input.terms.to_json();
    create.insert("input_file_id".to_owned(), json!(text(&uploaded, "id")));
    create.insert("endpoint".to_owned(), json!(input.endpoint));
    create.insert("completion_window".to_owned(), json!(input.window));
    Ok(Value::Object(create))
}

/// Polls to the end. Exit code 0 means `completed`.
async fn follow(api: &Api, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(ProgressStyle::with_template("{msg:12} {bar:40} {pos}/{len} lines  {per_sec}  ETA {eta}")?);
    loop {
        let batch = api.json(api.request(Method::GET, &path(id, ""))).await?;
        let counts = |key: &str| batch["request_counts"][key].as_u64().unwrap_or(0);
        bar.set_length(counts("total"));
        bar.set_position(counts("completed") + counts("failed"));
        let status = text(&batch, "status");
        bar.set_message(status.to_owned());
        if ["completed", "failed", "expired", "cancelled"].contains(&status) {
            bar.finish();
            print_batch(&batch, json);
            return Ok(if status == "completed" { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn download(api: &Api, id: &str, output: &Path) -> anyhow::Result<()> {
    let batch = api.json(api.request(Method::GET, &path(id, ""))).await?;
    let mut errors = output.as_os_str().to_owned();
    errors.push(".errors");
    let files = [("output_file_id", output.to_owned()), ("error_file_id", PathBuf::from(errors))];
    for (key, path) in files {
        if let Some(file) = batch[key].as_str() {
            save(api, file, &path).await?;
            println!("{}", path.display());
        }
    }
    if batch["output_file_id"].is_null() && batch["error_file_id"].is_null() {
        println!("{id} is {} and has no files.", text(&batch, "status"));
    }
    Ok(())
}

async fn save(api: &Api, file: &str, path: &Path) -> anyhow::Result<()> {
    let response = api.send(api.request(Method::GET, &format!("/v1/files/{file}/content"))).await?;
    let mut target = File::create(path).await.with_context(|| format!("can't write {}", path.display()))?;
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        target.write_all(&chunk?).await?;
    }
    target.flush().await?;
    Ok(())
}

fn print_batch(batch: &Value, json: bool) {
    if json {
        println!("{batch}");
        return;
    }
    let counts = &batch["request_counts"];
    let paused = if batch["paused_at"].is_null() { "" } else { " (paused)" };
    println!(
        "{}  {}{paused}  {} completed, {} failed of {}",
        text(batch, "id"),
        text(batch, "status"),
        counts["completed"],
        counts["failed"],
        counts["total"]
    );
    for error in batch["errors"]["data"].as_array().into_iter().flatten().take(10) {
        println!("  line {}: {} ({})", error["line"], text(error, "message"), text(error, "code"));
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
