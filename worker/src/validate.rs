//! Judges the input of a new batch from the index made at its upload, so that a bad file fails with all its mistakes and
//! a good one starts at once.

use crate::{Core, in_time::InTime, input::Input, plan};
use domain::{Endpoint, Error, Result};
use std::collections::HashSet;
use store::{BatchLease, FileIndex, Tally};
use wire::batch::BatchError;

/// The most mistakes reported.
const MOST: usize = 100;

/// Fails or starts the batch.
pub(crate) async fn run(core: &Core, lease: &BatchLease) -> Result<()> {
    let batch = &lease.batch;
    let Some(input) = Input::find(&core.store, batch).await? else {
        return fail(core, lease, &[mistake("file_not_found", "The input file does not exist any more.", None, None)])
            .await;
    };
    let models: HashSet<String> = core.backend.models().await?.into_iter().map(|model| model.id).collect();
    let mistakes = judge(&input.index, batch.endpoint, &models);
    if !mistakes.is_empty() {
        return fail(core, lease, &mistakes).await;
    }
    let total = i64::try_from(input.index.lines).map_err(Error::internal)?;
    if core.store.start_batch(lease, total, only_model(&input.index)).in_time().await? {
        plan::top_up(core, &batch.id).await?;
    }
    Ok(())
}

async fn fail(core: &Core, lease: &BatchLease, mistakes: &[BatchError]) -> Result<()> {
    let json = serde_json::to_string(mistakes).map_err(Error::internal)?;
    if core.store.fail_validation(lease, &json).in_time().await? {
        tracing::info!(batch.id = %lease.batch.id, mistakes = mistakes.len(), "batch {} refused", lease.batch.id);
    }
    Ok(())
}

/// Everything wrong with an input, in the order of its lines, up to [`MOST`].
fn judge(index: &FileIndex, endpoint: Endpoint, models: &HashSet<String>) -> Vec<BatchError> {
    let mut mistakes: Vec<_> = index
        .errors
        .iter()
        .map(|issue| {
            mistake(&issue.code, issue.message.clone(), issue.param.as_deref(), (issue.line > 0).then_some(issue.line))
        })
        .collect();
    for tally in index.urls.iter().filter(|tally| tally.value != endpoint.as_str()) {
        let text = format!(
            "The url `{}` of this line is not the endpoint of the batch, `{}`.",
            tally.value,
            endpoint.as_str()
        );
        mistakes.extend(at_lines(tally, "url_mismatch", &text, "url"));
    }
    for tally in index.models.iter().filter(|tally| !models.contains(&tally.value)) {
        let text = format!("The model `{}` does not exist or you do not have access to it.", tally.value);
        mistakes.extend(at_lines(tally, "model_not_found", &text, "body.model"));
    }
    if mistakes.is_empty() && index.error_count > 0 {
        mistakes.push(mistake("invalid_request", "The input file has errors.", None, None));
    }
    if mistakes.is_empty() && index.lines == 0 {
        mistakes.push(mistake("empty_file", "The input file has no requests.", None, None));
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.truncate(MOST);
    mistakes
}

fn at_lines(tally: &Tally, code: &str, message: &str, param: &str) -> Vec<BatchError> {
    tally.first_lines.iter().map(|line| mistake(code, message, Some(param), Some(*line))).collect()
}

fn mistake(code: &str, message: impl Into<String>, param: Option<&str>, line: Option<u64>) -> BatchError {
    BatchError { code: code.to_owned(), message: message.into(), param: param.map(ToOwned::to_owned), line }
}

/// The model of all lines, if they have one in common.
fn only_model(index: &FileIndex) -> Option<&str> {
    match index.models.as_slice() {
        [model] => Some(&model.value),
        _ => None,
    }
}
