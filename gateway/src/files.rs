//! `/v1/files`: upload, read, list, download, delete.

use crate::{
    app::App,
    convert, download,
    extract::{self, ApiPath, ApiQuery, FormOrJson},
    imports, paging,
    replay::Upload,
    upload,
};
use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::http::ApiError;
use domain::{Error, FileId, RequestContext, Result};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::FileRow;
use wire::{
    batch::List,
    file::{File, FileDeleted},
};

/// Purposes that a list may be narrowed to: those of uploads and those of files that the platform makes.
const LISTED_PURPOSES: [&str; 2] = ["batch_output", "fine-tune-results"];

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
    order: Option<String>,
    purpose: Option<String>,
}

/// `POST /v1/files`
pub(crate) async fn create(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    upload: Option<Extension<Upload>>,
    body: FormOrJson,
) -> Result<Response, ApiError> {
    let (uploaded, is_kept) = upload.map_or((None, true), |Extension(upload)| (Some(upload.uploaded), upload.is_kept));
    let gateway = app.gateway.clone();
    // Tasks of their own: they see the connection end and clean up, where a dropped handler could not.
    let making = match body {
        FormOrJson::Form(form) if is_kept => {
            app.gateway.uploads.spawn(async move { upload::receive(&gateway, &context.tenant, form, uploaded).await })
        }
        FormOrJson::Form(form) => {
            upload::look_through(&gateway, form, uploaded).await?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        FormOrJson::Json(body) => {
            if let Some(uploaded) = uploaded {
                uploaded.set(Sha256::new_with_prefix(&body));
            }
            if !is_kept {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            let wanted = extract::parse(&body)?;
            app.gateway.uploads.spawn(async move { imports::import(&gateway, &context.tenant, wanted).await })
        }
    };
    let row = making.await.map_err(Error::internal)??;
    Ok(Json(convert::file(row)).into_response())
}

/// `GET /v1/files/{id}`
pub(crate) async fn one(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<File>, ApiError> {
    Ok(Json(convert::file(find(&app, &context, id).await?)))
}

/// `GET /v1/files`
pub(crate) async fn list(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<File>>, ApiError> {
    let store = &app.gateway.store;
    let limit = paging::limit(query.limit.as_deref(), 10_000, 10_000)?;
    let is_descending = paging::is_descending(query.order.as_deref())?;
    let purpose = query.purpose.map(judge_purpose).transpose()?;
    let after = query.after.map(FileId::from_string);
    let (rows, has_more) =
        store.list_files(&context.tenant, purpose.as_deref(), after.as_ref(), limit, is_descending).await?;
    Ok(Json(List::new(rows.into_iter().map(convert::file).collect(), has_more, |file| &file.id)))
}

/// `GET /v1/files/{id}/content`
pub(crate) async fn content(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = find(&app, &context, id).await?;
    Ok(download::respond(&app.gateway.blobs, &file, &headers).await?)
}

/// `DELETE /v1/files/{id}`
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    ApiPath(id): ApiPath,
) -> Result<Json<FileDeleted>, ApiError> {
    if !app.gateway.store.delete_file(&context.tenant, &FileId::from_string(&id)).await? {
        return Err(no_such_file(&id).into());
    }
    Ok(Json(FileDeleted::new(id)))
}

async fn find(app: &App, context: &RequestContext, id: String) -> Result<FileRow> {
    let row = app.gateway.store.file(&context.tenant, &FileId::from_string(&id)).await?;
    row.ok_or_else(|| no_such_file(&id))
}

fn no_such_file(id: &str) -> Error {
    Error::not_found(format!("No such File object: {id}")).with_param("id")
}

fn judge_purpose(purpose: String) -> Result<String> {
    if LISTED_PURPOSES.contains(&purpose.as_str()) {
        return Ok(purpose);
    }
    upload::judge_purpose(purpose)
}
