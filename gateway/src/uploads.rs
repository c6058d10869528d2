//! `/v1/uploads`: files that come in parts, in any order and side by side.

mod complete;
mod part;
mod settings;

pub use settings::UploadsSettings;

use crate::{
    app::{App, Gateway},
    convert,
    extract::{ApiForm, ApiJson, ApiPath},
    upload,
};
use axum::{Extension, Json, extract::State};
use chassis::http::ApiError;
use complete::Wanted;
use domain::{Error, Kind, RequestContext, Result, TenantId, UploadId};
use serde::Deserialize;
use store::{FileRow, NewUpload, UploadRow, file_rules, request};
use wire::upload::{Upload, UploadPart};

const MIME_TYPE_CHARS: usize = 255;

/// The body of `POST /v1/uploads`. Every field is optional here so that a missing one gets a refusal of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateUpload {
    bytes: Option<u64>,
    filename: Option<String>,
    mime_type: Option<String>,
    purpose: Option<String>,
    expires_after: Option<ExpiresAfter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpiresAfter {
    pub(crate) anchor: String,
    pub(crate) seconds: i64,
}

/// The body of `POST /v1/uploads/{id}/complete`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteUpload {
    part_ids: Option<Vec<String>>,
    md5: Option<String>,
}

/// `POST /v1/uploads`
pub(crate) async fn create(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiJson(body): ApiJson<CreateUpload>,
) -> Result<Json<Upload>, ApiError> {
    let new = to_new_upload(&app.gateway, context.tenant, body)?;
    let most = app.gateway.settings.uploads.max_pending;
    let row = app.gateway.store.insert_upload(&new, most).await?.ok_or_else(|| too_many(most))?;
    Ok(Json(show(row, None)))
}

/// `POST /v1/uploads/{id}/parts`
pub(crate) async fn add_part(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiForm(form): ApiForm,
) -> Result<Json<UploadPart>, ApiError> {
    let upload = find(&app.gateway, &context.tenant, &id).await?;
    require_pending(&upload)?;
    let gateway = app.gateway.clone();
    // A task of its own: it sees the connection end and cleans up, where a dropped handler could not.
    let storing = app.gateway.uploads.spawn(async move { part::receive(&gateway, &upload, form).await });
    let part = storing.await.map_err(Error::internal)??;
    Ok(Json(UploadPart {
        id: part.id.to_string(),
        object: "upload.part".to_owned(),
        created_at: convert::secs(part.created_at_ms),
        upload_id: part.upload.to_string(),
    }))
}

/// `POST /v1/uploads/{id}/complete`
pub(crate) async fn complete(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<CompleteUpload>,
) -> Result<Json<Upload>, ApiError> {
    let wanted = Wanted::parse(body.part_ids, body.md5, app.gateway.settings.uploads.max_parts)?;
    let (row, file) = complete::run(&app.gateway, &context.tenant, &id, wanted).await?;
    Ok(Json(show(row, file)))
}

/// `POST /v1/uploads/{id}/cancel`
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<Upload>, ApiError> {
    let cancelled = app.gateway.store.cancel_upload(&context.tenant, &UploadId::from_string(&id)).await?;
    let row = find(&app.gateway, &context.tenant, &id).await?;
    // Sent again it finds what the first one did.
    if !cancelled && row.status != store::UploadStatus::Cancelled {
        require_pending(&row)?;
    }
    Ok(Json(show(row, None)))
}

async fn find(gateway: &Gateway, tenant: &TenantId, id: &str) -> Result<UploadRow> {
    let row = gateway.store.upload(tenant, &UploadId::from_string(id)).await?;
    row.ok_or_else(|| Error::not_found(format!("No such Upload object: {id}")).with_param("upload_id"))
}

fn require_pending(row: &UploadRow) -> Result<()> {
    if row.status == store::UploadStatus::Pending {
        return Ok(());
    }
    let text = format!("The upload is {}; only a pending one takes this. Make another upload.", row.status.as_str());
    Err(Error::new(Kind::Conflict, text).with_code("upload_not_pending").with_param("upload_id"))
}

fn to_new_upload(gateway: &Gateway, tenant: TenantId, body: CreateUpload) -> Result<NewUpload> {
    let settings = &gateway.settings.uploads;
    let bytes = body.bytes.ok_or_else(|| upload::missing("bytes"))?;
    if bytes == 0 {
        return Err(Error::invalid("Invalid value: 0. 'bytes' must be at least 1.").with_param("bytes"));
    }
    if bytes > settings.max_bytes {
        let text = format!("An upload may have {} bytes, not {bytes}.", settings.max_bytes);
        return Err(Error::new(Kind::TooLarge, text).with_param("bytes"));
    }
    let purpose = upload::judge_purpose(body.purpose.ok_or_else(|| upload::missing("purpose"))?)?;
    let filename = file_rules::to_filename(&body.filename.ok_or_else(|| upload::missing("filename"))?);
    file_rules::judge_name(&purpose, &filename, "filename")?;
    let mime_type = body.mime_type.ok_or_else(|| upload::missing("mime_type"))?;
    if mime_type.chars().count() > MIME_TYPE_CHARS {
        let text = format!("'mime_type' is longer than {MIME_TYPE_CHARS} characters.");
        return Err(Error::invalid(text).with_param("mime_type"));
    }
    Ok(NewUpload {
        id: UploadId::generate(),
        tenant,
        bytes: i64::try_from(bytes).map_err(Error::internal)?,
        filename,
        file_ttl_secs: file_ttl_secs(gateway, body.expires_after.as_ref(), &purpose)?,
        purpose,
        mime_type,
        ttl_ms: settings.ttl_secs.saturating_mul(1_000),
    })
}

/// How long a file is kept, as the request says or as files of its purpose are.
pub(crate) fn file_ttl_secs(gateway: &Gateway, asked: Option<&ExpiresAfter>, purpose: &str) -> Result<Option<i64>> {
    match asked {
        Some(ExpiresAfter { anchor, seconds }) => request::ttl_secs("expires_after", anchor, *seconds).map(Some),
        None => Ok((purpose == "batch").then_some(gateway.settings.batch_file_ttl_secs)),
    }
}

fn too_many(most: i64) -> Error {
    let text = format!("There are {most} uploads that are not completed yet. Complete or cancel one of them first.");
    Error::new(Kind::RateLimited { retry_after: None }, text).with_code("too_many_uploads")
}

fn show(row: UploadRow, file: Option<FileRow>) -> Upload {
    Upload {
        id: row.id.to_string(),
        object: "upload".to_owned(),
        bytes: row.bytes.unsigned_abs(),
        created_at: convert::secs(row.created_at_ms),
        expires_at: convert::secs(row.expires_at_ms),
        filename: row.filename,
        purpose: row.purpose,
        status: row.status.as_str().to_owned(),
        file: file.map(convert::file),
    }
}
