//! Jobs that come as messages become ordinary batches. A message is acknowledged once its batch is in the database, and made once
//! however often it comes; what can't become a batch goes to the dead letters with the reason.

mod job;

use crate::{Core, gate::backoff, in_time::InTime, instruments::JobOutcome, plan};
use bytes::{BufMut, Bytes, BytesMut};
use chassis::drain::Drain;
use domain::{BatchId, Error, FileId, Kind, Pointer, PointerKind, Result, TenantId};
use futures::StreamExt;
use job::{Input, Job};
use queue::{Replies, Submissions, SubmissionsSettings, Submitted};
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use store::{FileIndex, Imports, Ingest, IngestLimits, NewBatch, NewFile, Submission};
use tracing::{info, warn};

/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// So many mishaps in a row send a job to the dead letters: about a minute of them.
const MOST_MISHAPS: u32 = 20;

/// What is wrong may quote what its sender wrote.
const REASON_CHARS: usize = 1_000;

/// Where jobs come from.
pub(crate) struct Intake {
    pub(crate) submissions: Arc<dyn Submissions>,
    pub(crate) settings: SubmissionsSettings,
    pub(crate) replies: Replies,
}

/// Takes jobs in until `drain` begins; those begun are finished.
pub(crate) async fn run(core: Arc<Core>, intake: Intake, drain: Drain) {
    let slots = intake.settings.slots.max(1);
    while !drain.token().is_cancelled() {
        match intake.submissions.listen(slots).await {
            Ok(jobs) => {
                let jobs = jobs.take_until(drain.begun());
                jobs.for_each_concurrent(slots, |submitted| take(&core, &intake, &drain, submitted)).await;
            }
            Err(error) => warn!(error = %error.chain(), "jobs can't be heard"),
        }
        drain.token().run_until_cancelled(tokio::time::sleep(AGAIN)).await;
    }
}

/// Makes a batch of a message, patient with a platform that stumbles.
async fn take(core: &Core, intake: &Intake, drain: &Drain, submitted: Submitted) {
    let (mut attempt, mut mishaps) = (0, 0);
    let settled = loop {
        let error = match make(core, intake, drain, &submitted.message).await {
            Ok(batch) => {
                core.instruments.job(JobOutcome::Accepted);
                info!(batch.id = %batch, "a job became {batch}");
                break submitted.accept().await;
            }
            Err(error) => error,
        };
        mishaps = if error.kind() == Kind::Internal { mishaps + 1 } else { 0 };
        if !is_passing(&error, mishaps) {
            let reason = reason(&error);
            core.instruments.job(JobOutcome::Refused);
            warn!(reason, "a job is refused");
            break submitted.refuse(&reason).await;
        }
        core.instruments.job(JobOutcome::Delayed);
        warn!(error = %error.chain(), attempt, "a job waits");
        attempt += 1;
        if drain.token().run_until_cancelled(tokio::time::sleep(backoff(attempt.min(5)))).await.is_none() {
            // Dropped, it comes to another worker.
            return;
        }
    };
    if let Err(error) = settled {
        warn!(error = %error.chain(), "a job that is settled comes again, which is harmless");
    }
}

/// Whether the same message may do in a moment. A limit that is reached may stay so for hours, and others wait behind it; what goes
/// wrong inside of us again and again may be this message's doing: `mishaps` such errors came in a row, this one included.
fn is_passing(error: &Error, mishaps: u32) -> bool {
    match error.kind() {
        Kind::RateLimited { .. } => false,
        Kind::Internal => mishaps < MOST_MISHAPS,
        kind => kind.is_retryable(),
    }
}

/// What the sender needs to mend it: the error as the API would say it.
fn reason(error: &Error) -> String {
    let code = error.code().map(|code| format!("{code}: ")).unwrap_or_default();
    let param = error.param().map(|param| format!(" (`{param}`)")).unwrap_or_default();
    let said = format!("{code}{}{param}", error.message());
    said.chars().take(REASON_CHARS).collect()
}

/// The batch of a message; the one that it became before, if it came before.
async fn make(core: &Core, intake: &Intake, drain: &Drain, message: &[u8]) -> Result<BatchId> {
    let Job { tenant, submission, mut request, input } = Job::read(message)?;
    if core.store.tenant(&tenant).in_time().await?.is_none() {
        return Err(Error::not_found(format!("No such tenant: {tenant}")).with_param("tenant"));
    }
    if let Some(batch) = core.store.submitted(&tenant, &submission).in_time().await? {
        return Ok(batch);
    }
    submission.reply_to.as_deref().map_or(Ok(()), |reply_to| intake.replies.judge(reply_to))?;
    // Judged first: what can't become a batch needs no file.
    request.input_file_id = Some(FileId::generate().to_string());
    let mut new = request.to_new_batch(tenant.clone(), None)?;
    let came_with_it = match &input {
        Input::FileId(id) => {
            new.input_file_id = FileId::from_string(id);
            None
        }
        Input::Lines(lines) => Some(write_lines(core, &new, lines).await?),
        Input::Uri(uri) => Some(fetch(core, &intake.settings, drain, &tenant, uri).await?),
    };
    let made = match &came_with_it {
        Some(file) => {
            new.input_file_id = file.id.clone();
            record(core, &intake.settings, file).await?;
            insert(core, new, &submission).await
        }
        None => insert(core, new, &submission).await,
    };
    if let Some(file) = came_with_it.filter(|_| !matches!(made, Ok(Some(_)))) {
        core.store.delete_file(&tenant, &file.id).in_time().await?;
    }
    match made? {
        Some(batch) => {
            plan::ring(core, &[Pointer::new(PointerKind::Validate, batch.as_str())]).await;
            Ok(batch)
        }
        // Another worker made it meanwhile.
        None => existing(core, &tenant, &submission).await,
    }
}

async fn insert(core: &Core, new: NewBatch, submission: &Submission) -> Result<Option<BatchId>> {
    let index = core.store.require_batch_input(&new).in_time().await?;
    let tokens = index.as_ref().map(FileIndex::tokens_by_model).unwrap_or_default();
    let row = core.store.insert_submitted(NewBatch { tokens, ..new }, submission).in_time().await?;
    Ok(row.map(|row| row.id))
}

async fn existing(core: &Core, tenant: &TenantId, submission: &Submission) -> Result<BatchId> {
    let batch = core.store.submitted(tenant, submission).in_time().await?;
    batch.ok_or_else(|| Error::unavailable("The batch of this job is being made."))
}

/// Lines that came in the message, in the blob of a file.
async fn write_lines(core: &Core, new: &NewBatch, lines: &[Box<RawValue>]) -> Result<NewFile> {
    let blob = format!("files/{}", new.input_file_id);
    let mut ingest = Ingest::new(&core.blobs, &blob, IngestLimits::default());
    let written = ingest.feed(joined(lines)).await;
    if let Err(error) = written {
        ingest.abort().await;
        return Err(error);
    }
    let index = ingest.finish().await?;
    let filename = format!("{}_input.jsonl", new.id);
    NewFile::of_lines(new.input_file_id.clone(), new.tenant.clone(), filename, blob, &index)
}

/// An object that the message names, in the blob of a file. What takes longer than the worker has left is given up.
async fn fetch(
    core: &Core,
    settings: &SubmissionsSettings,
    drain: &Drain,
    tenant: &TenantId,
    uri: &str,
) -> Result<NewFile> {
    let imports = Imports {
        allowed: &settings.imports,
        setting: "submissions.imports.buckets",
        max_bytes: settings.max_input_bytes,
        max_lines: settings.max_input_lines,
    };
    let fetching = imports.fetch(&core.blobs, tenant, "batch".to_owned(), uri);
    match drain.token().run_until_cancelled(fetching).await {
        Some(fetched) => fetched.map_err(|error| error.with_param("input.uri")),
        None => Err(Error::unavailable("The worker ends before the input is here.")),
    }
}

/// The blob becomes a file, or goes.
async fn record(core: &Core, settings: &SubmissionsSettings, file: &NewFile) -> Result<()> {
    let recorded = async {
        let now_ms = core.store.now_ms().in_time().await?;
        let expires_at_ms = Some(now_ms.saturating_add(settings.file_ttl_secs.saturating_mul(1_000)));
        core.store.insert_file(&NewFile { expires_at_ms, ..file.clone() }).in_time().await.map(drop)
    };
    let recorded = recorded.await;
    if recorded.is_err() {
        discard(core, file).await;
    }
    recorded
}

/// What the database may have recorded without saying so is deleted as a file; its blobs go with it later.
async fn discard(core: &Core, file: &NewFile) {
    let discarded = async {
        if core.store.delete_file(&file.tenant, &file.id).in_time().await? {
            return Ok(());
        }
        core.blobs.delete(&format!("{}.index", file.blob)).await?;
        core.blobs.delete(&file.blob).await
    };
    if let Err(error) = discarded.await {
        warn!(blob = file.blob, error = %error.chain(), "the input of a job that waits could not be removed");
    }
}

/// The lines as JSON Lines. Inside a line there may be line breaks between values, which are worth as much as blanks.
fn joined(lines: &[Box<RawValue>]) -> Bytes {
    let mut bytes = BytesMut::new();
    for line in lines {
        bytes.extend(line.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        bytes.put_u8(b'\n');
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_several_lines_becomes_one() {
        let line = |text: &str| RawValue::from_string(text.to_owned()).unwrap();

        assert_eq!(joined(&[line("{\n\"a\":\r\n1}"), line("{}")]), Bytes::from("{ \"a\":  1}\n{}\n"));
    }

    #[test]
    fn a_full_quota_is_a_reason_and_a_stumbling_database_is_none() {
        let full = Error::new(Kind::RateLimited { retry_after: None }, "full").with_code("token_limit_exceeded");

        assert!(!is_passing(&full, 0));
        assert_eq!(reason(&full), "token_limit_exceeded: full");
        assert!(is_passing(&Error::unavailable("away"), 0));
        assert!(!is_passing(&Error::invalid("no").with_param("tenant"), 0));
    }

    #[test]
    fn a_job_that_goes_wrong_inside_of_us_is_not_tried_for_ever() {
        let mishap = Error::internal("of our own making");

        assert!(is_passing(&mishap, 1) && is_passing(&mishap, MOST_MISHAPS - 1));
        assert!(!is_passing(&mishap, MOST_MISHAPS));
    }
}
