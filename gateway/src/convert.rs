//! Rows of the store in the shapes of the wire.

use domain::{DailyWindow, Error, LineCounts, Money, Result, Usage};
use store::{BatchRow, FileRow, ModelUsage};
use wire::{
    batch::{self, Batch, BatchErrors, BatchUsage, CachedTokens, ReasoningTokens, RequestCounts, RunBetween},
    file::File,
};

/// A file object.
pub(crate) fn file(row: FileRow) -> File {
    File {
        id: row.id.to_string(),
        object: "file".to_owned(),
        bytes: u64::try_from(row.bytes).unwrap_or_default(),
        created_at: secs(row.created_at_ms),
        expires_at: row.expires_at_ms.map(secs),
        filename: row.filename,
        purpose: row.purpose,
        status: "processed".to_owned(),
        status_details: None,
    }
}

/// A batch object, with what each model did for it.
pub(crate) fn batch(row: BatchRow, models: &[ModelUsage]) -> Result<Batch> {
    Ok(Batch {
        usage: Some(usage(&row, models)),
        id: row.id.to_string(),
        object: "batch".to_owned(),
        endpoint: row.endpoint.as_str().to_owned(),
        model: row.model,
        errors: row.errors_json.as_deref().map(errors).transpose()?,
        input_file_id: row.input_file_id.to_string(),
        completion_window: window(row.window_secs),
        status: row.status.as_str().to_owned(),
        output_file_id: row.output_file_id.map(|id| id.to_string()),
        error_file_id: row.error_file_id.map(|id| id.to_string()),
        created_at: secs(row.created_at_ms),
        in_progress_at: row.in_progress_at_ms.map(secs),
        expires_at: Some(secs(row.expires_at_ms)),
        finalizing_at: row.finalizing_at_ms.map(secs),
        completed_at: row.completed_at_ms.map(secs),
        failed_at: row.failed_at_ms.map(secs),
        expired_at: row.expired_at_ms.map(secs),
        cancelling_at: row.cancelling_at_ms.map(secs),
        cancelled_at: row.cancelled_at_ms.map(secs),
        request_counts: counts(row.total_lines, &row.counts),
        priority: row.terms.priority.as_str().to_owned(),
        not_before: row.terms.not_before_ms.map(secs),
        run_between: row.terms.run_between.map(run_between),
        max_concurrency: row.terms.max_concurrency,
        paused_at: row.paused_at_ms.map(secs),
        metadata: row.metadata.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?,
        dedup: row.dedup,
        redrive_of: row.redrive_of.map(|id| id.to_string()),
    })
}

/// Milliseconds as the API has times.
pub(crate) fn secs(ms: i64) -> i64 {
    ms.div_euclid(1_000)
}

/// The window in the words of the request: days are written as hours, so that `1d` reads back as OpenAI's `24h`.
fn window(secs: i64) -> String {
    format!("{}h", secs / 3_600)
}

fn run_between(window: DailyWindow) -> RunBetween {
    let (start, end) = window.to_words();
    RunBetween { start, end }
}

fn counts(total: i64, counts: &LineCounts) -> RequestCounts {
    RequestCounts {
        total,
        completed: counts.completed,
        failed: counts.failed,
        cancelled: counts.cancelled,
        expired: counts.expired,
    }
}

fn usage(row: &BatchRow, models: &[ModelUsage]) -> BatchUsage {
    let usage = &row.usage;
    let cost_unknown = cost_unknown(usage, models);
    BatchUsage {
        input_tokens: usage.input,
        input_tokens_details: CachedTokens { cached_tokens: usage.cached },
        output_tokens: usage.output,
        output_tokens_details: ReasoningTokens { reasoning_tokens: usage.reasoning },
        total_tokens: usage.total(),
        redone_requests: row.redone_requests,
        deduplicated_requests: row.deduplicated,
        cost_usd: cost(models.iter().map(|model| model.cost).sum(), cost_unknown.is_none()),
        cost_unknown,
        models: models.iter().map(model_usage).collect(),
    }
}

fn model_usage(model: &ModelUsage) -> batch::ModelUsage {
    batch::ModelUsage {
        model: model.model.clone(),
        requests: model.requests,
        input_tokens: model.usage.input,
        cached_tokens: model.usage.cached,
        output_tokens: model.usage.output,
        reasoning_tokens: model.usage.reasoning,
        cost_usd: cost(model.cost, model.unpriced == 0),
        unpriced_requests: model.unpriced,
    }
}

/// A sum that lacks some would pass for the whole.
fn cost(known: Money, is_whole: bool) -> Option<String> {
    is_whole.then(|| known.to_usd())
}

/// Why the cost of all that was used is not known.
fn cost_unknown(used: &Usage, models: &[ModelUsage]) -> Option<String> {
    let unpriced: i64 = models.iter().map(|model| model.unpriced).sum();
    if unpriced > 0 {
        return Some(format!(
            "{unpriced} requests were answered by models without a known price; `models` has the others."
        ));
    }
    let kept: u64 = models.iter().map(|model| model.usage.total()).sum();
    (kept < used.total()).then(|| "Lines were answered by a version that kept no costs.".to_owned())
}

fn errors(json: &str) -> Result<BatchErrors> {
    serde_json::from_str(json).map(BatchErrors::new).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_only_when_it_is_whole() {
        let usage = Usage { input: 30, output: 10, ..Usage::default() };
        let priced = ModelUsage { model: "m".into(), requests: 2, usage, cost: Money::from_nanos(5), unpriced: 0 };
        let unpriced = ModelUsage { unpriced: 1, ..priced.clone() };

        assert_eq!(cost_unknown(&usage, &[priced]), None);
        assert!(cost_unknown(&usage, &[unpriced]).unwrap().starts_with("1 requests"));
        assert!(cost_unknown(&usage, &[]).unwrap().contains("version"));
        assert_eq!(cost_unknown(&Usage::default(), &[]), None);
    }

    #[test]
    fn windows_read_back_in_hours() {
        for (given, shown) in [("24h", "24h"), ("1d", "24h"), ("7d", "168h"), ("1h", "1h")] {
            assert_eq!(window(domain::completion_window_secs(given).unwrap()), shown);
        }
    }
}
