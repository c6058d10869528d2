//! Receiving a file: a form read part by part, its file streamed to the blob store in constant memory. Whatever goes
//! wrong, no blob and no row stay behind.

pub(crate) mod form;
mod sink;

use crate::{app::Gateway, replay::Uploaded};
use axum::extract::Multipart;
use domain::{Error, FileId, Result, TenantId};
use form::Form;
use store::{FileRow, NewFile, request};

pub(crate) use form::judge_purpose;

/// Takes a whole form and makes a file of it. `uploaded`, if anybody asks, hears what it was.
pub(crate) async fn receive(
    gateway: &Gateway,
    tenant: &TenantId,
    body: Multipart,
    uploaded: Option<Uploaded>,
) -> Result<FileRow> {
    let mut form = Form::new(FileId::generate(), uploaded.is_some());
    let outcome = match form.read(gateway, body).await {
        Ok(()) => {
            tell(&mut form, uploaded);
            form.settle(gateway).await;
            insert(gateway, tenant, &form).await
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        form.discard(gateway).await;
    }
    outcome
}

/// Reads a whole form only to hear what it is.
pub(crate) async fn look_through(gateway: &Gateway, body: Multipart, uploaded: Option<Uploaded>) -> Result<()> {
    let mut form = Form::not_kept();
    form.read(gateway, body).await?;
    tell(&mut form, uploaded);
    Ok(())
}

fn tell(form: &mut Form, uploaded: Option<Uploaded>) {
    if let (Some(uploaded), Some(said)) = (uploaded, form.said.take()) {
        uploaded.set(said);
    }
}

async fn insert(gateway: &Gateway, tenant: &TenantId, form: &Form) -> Result<FileRow> {
    let purpose = form.purpose.clone().ok_or_else(|| missing("purpose"))?;
    let file = form.file.as_ref().ok_or_else(|| missing("file"))?;
    form::judge_file(gateway, &purpose, &file.filename, file.bytes)?;
    let ttl_secs = ttl_secs(gateway, form, &purpose)?;
    let now_ms = gateway.store.now_ms().await?;
    let index = file.index.as_ref().map(serde_json::to_string).transpose();
    let new = NewFile {
        id: form.id.clone(),
        tenant: tenant.clone(),
        purpose,
        filename: file.filename.clone(),
        bytes: i64::try_from(file.bytes).map_err(Error::internal)?,
        blob: file.blob.clone(),
        crc32c: file.index.as_ref().map(|index| index.crc32c),
        index: index.map_err(Error::internal)?,
        expires_at_ms: ttl_secs.map(|secs| now_ms + secs * 1_000),
    };
    gateway.store.insert_file(&new).await
}

fn ttl_secs(gateway: &Gateway, form: &Form, purpose: &str) -> Result<Option<i64>> {
    match (&form.anchor, &form.seconds) {
        (None, None) => Ok((purpose == "batch").then_some(gateway.settings.batch_file_ttl_secs)),
        (None, Some(_)) => Err(missing("expires_after[anchor]")),
        (Some(_), None) => Err(missing("expires_after[seconds]")),
        (Some(anchor), Some(seconds)) => {
            let seconds = seconds.trim().parse().map_err(|_| {
                Error::invalid(format!("Invalid value: '{seconds}'. It must be a whole number of seconds."))
                    .with_param("expires_after.seconds")
            })?;
            request::ttl_secs("expires_after", anchor, seconds).map(Some)
        }
    }
}

/// A parameter that is not there.
pub(crate) fn missing(name: &str) -> Error {
    Error::invalid(format!("Missing required parameter: '{name}'."))
        .with_param(name)
        .with_code("missing_required_parameter")
}
