//! Jobs that come as messages become ordinary batches. A message is acknowledged once its batch is in the database, and made once
//! however often it comes; what can't become a batch goes to the dead letters with the reason.

mod job;

use crate::{Core, gate::backoff, in_time::InTime, plan};
use bytes::{BufMut, Bytes, BytesMut};
use chassis::drain::Drain;
use domain::{BatchId, Error, FileId, Kind, Pointer, PointerKind, Result, TenantId};
use futures::StreamExt;
use job::{Input, Job};
use queue::{Submissions, SubmissionsSettings, Submitted};
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use store::{FileIndex, Ingest, IngestLimits, NewBatch, NewFile, Submission};
use tracing::{info, warn};

/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Where jobs come from.
pub(crate) struct Intake {
    pub(crate) submissions: Arc<dyn Submissions>,
    pub(crate) settings: SubmissionsSettings,
}

/// Takes jobs in until `drain` begins; those begun are finished.
pub(crate) async fn run(core: Arc<Core>, intake: Intake, drain: Drain) {
    let slots = intake.settings.slots.max(1);
    while !drain.token().is_cancelled() {
        match intake.submissions.listen(slots).await {
            Ok(jobs) => {
                let jobs = jobs.take_until(drain.begun());
                jobs.for_each_concurrent(slots, |submitted| take(&core, &intake.settings, &drain, submitted)).await;
            }
            Err(error) => warn!(error = %error.chain(), "jobs can't be heard"),
        }
        drain.token().run_until_cancelled(tokio::time::sleep(AGAIN)).await;
    }
}

/// Makes a batch of a message, patient with a platform that stumbles.
async fn take(core: &Core, settings: &SubmissionsSettings, drain: &Drain, submitted: Submitted) {
    let mut attempt = 0;
    let settled = loop {
        match make(core, settings, &submitted.message).await {
            Ok(batch) => {
                info!(batch.id = %batch, "a job became {batch}");
                break submitted.accept().await;
            }
            Err(error) if is_passing(&error) => warn!(error = %error.chain(), attempt, "a job waits"),
            Err(error) => {
                let reason = reason(&error);
                warn!(reason, "a job is refused");
                break submitted.refuse(&reason).await;
            }
        }
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

/// Whether the same message may do in a moment. A limit that is reached may stay so for hours, and others wait behind it.
fn is_passing(error: &Error) -> bool {
    error.kind().is_retryable() && !matches!(error.kind(), Kind::RateLimited { .. })
}

/// What the sender needs to mend it: the error as the API would say it.
fn reason(error: &Error) -> String {
    let code = error.code().map(|code| format!("{code}: ")).unwrap_or_default();
    let param = error.param().map(|param| format!(" (`{param}`)")).unwrap_or_default();
    format!("{code}{}{param}", error.message())
}

/// The batch of a message; the one that it became before, if it came before.
async fn make(core: &Core, settings: &SubmissionsSettings, message: &[u8]) -> Result<BatchId> {
    let Job { tenant, submission, mut request, input } = Job::read(message)?;
    if core.store.tenant(&tenant).in_time().await?.is_none() {
        return Err(Error::not_found(format!("No such tenant: {tenant}")).with_param("tenant"));
    }
    if let Some(batch) = core.store.submitted(&tenant, &submission).in_time().await? {
        return Ok(batch);
    }
    let (file, is_ours) = match &input {
        Input::FileId(id) => (FileId::from_string(id), false),
        Input::Lines(_) => (FileId::generate(), true),
    };
    request.input_file_id = Some(file.to_string());
    let new = request.to_new_batch(tenant.clone(), None)?;
    if let Input::Lines(lines) = &input {
        write_lines(core, settings, &new, lines).await?;
    }
    let made = insert(core, new, &submission).await;
    if is_ours && !matches!(made, Ok(Some(_))) {
        core.store.delete_file(&tenant, &file).in_time().await?;
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

/// Lines that came in the message become the input file of their batch.
async fn write_lines(
    core: &Core,
    settings: &SubmissionsSettings,
    new: &NewBatch,
    lines: &[Box<RawValue>],
) -> Result<()> {
    let blob = format!("files/{}", new.input_file_id);
    let mut ingest = Ingest::new(&core.blobs, &blob, IngestLimits::default());
    let written = ingest.feed(joined(lines)).await;
    if let Err(error) = written {
        ingest.abort().await;
        return Err(error);
    }
    let index = ingest.finish().await?;
    let now_ms = core.store.now_ms().in_time().await?;
    let filename = format!("{}_input.jsonl", new.id);
    let file = NewFile::of_lines(new.input_file_id.clone(), new.tenant.clone(), filename, blob, &index)?;
    let file = NewFile { expires_at_ms: Some(now_ms + settings.file_ttl_secs * 1_000), ..file };
    core.store.insert_file(&file).in_time().await.map(drop)
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

        assert!(!is_passing(&full));
        assert_eq!(reason(&full), "token_limit_exceeded: full");
        assert!(is_passing(&Error::unavailable("away")));
        assert!(!is_passing(&Error::invalid("no").with_param("tenant")));
    }
}
