//! What `tandem batch` reads of a batch beside its two files, and the proof from files.

use super::{path, verify};
use crate::api::Api;
use anyhow::Context;
use futures::StreamExt;
use reqwest::Method;
use std::{io::Write, path::PathBuf, process::ExitCode};
use wire::batch_audit::BatchAudit;

/// Every record that there is now, page by page, to standard output.
pub(super) async fn results(api: &Api, id: &str, mut after_line: u64) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    loop {
        let request = api.request(Method::GET, &path(id, "/results")).query(&[("after_line", after_line)]);
        let response = api.send(request).await?;
        let last = response.headers().get("x-tandem-last-line").and_then(|line| line.to_str().ok()?.parse().ok());
        let last: u64 = last.context("the server names no last line")?;
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            stdout.write_all(&chunk?)?;
        }
        if last == after_line {
            return Ok(stdout.flush()?);
        }
        after_line = last;
    }
}

/// The whole account, put together from its pages.
pub(super) async fn audit(api: &Api, id: &str) -> anyhow::Result<BatchAudit> {
    let page = async |after: i64| {
        let request = api.request(Method::GET, &path(id, "/audit")).query(&[("after_shard", after)]);
        anyhow::Ok(serde_json::from_value::<BatchAudit>(api.json(request).await?)?)
    };
    let mut whole = page(-1).await?;
    while let (true, Some(last)) = (whole.has_more, whole.last_shard) {
        let next = page(last).await?;
        let shards = std::mem::take(&mut whole.shards).into_iter().chain(next.shards).collect();
        whole = BatchAudit { shards, ..next };
    }
    Ok(whole)
}

pub(super) async fn prove(
    input: PathBuf,
    output: Option<PathBuf>,
    errors: Option<PathBuf>,
    audit: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    let found = tokio::task::spawn_blocking(move || {
        let audit = audit.map(|path| {
            let text = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{} is no audit of a batch", path.display()))
        });
        verify::verify_files(&input, output.as_deref(), errors.as_deref(), audit.transpose()?.as_ref())
    });
    let found = found.await??;
    println!(
        "{} lines, each with one record in input order: {} in the output file, {} in the error file",
        found.lines, found.output, found.error
    );
    Ok(ExitCode::SUCCESS)
}
