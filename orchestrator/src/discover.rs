//! Makes a catalog out of what a running model server says it serves.

use crate::{
    catalog::{Catalog, Deployment, Engine, Model, Timeouts},
    client::UpstreamClient,
};
use bytes::Bytes;
use domain::{Error, Result};
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full, Limited};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_LIST_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
struct Listed {
    data: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
    owned_by: Option<String>,
    created: Option<i64>,
    max_model_len: Option<u64>,
}

/// Asks the server at `url` (as `http://host:8000/v1`) for its models.
///
/// # Errors
/// When there is no such server, or it does not answer as OpenAI's API does; the text says what to do.
pub async fn discover(url: &str, api_key: Option<SecretString>) -> Result<Catalog> {
    let base = Url::parse(url.trim_end_matches('/'))
        .ok()
        .filter(|base| matches!(base.scheme(), "http" | "https") && base.has_host())
        .ok_or_else(|| {
            Error::invalid(format!("{url} is no address of a model server; write it like http://host:8000/v1"))
        })?;
    let address = format!("{}/models", base.as_str().trim_end_matches('/'));
    let (status, body) = tokio::time::timeout(PATIENCE, get(&address, api_key.as_ref()))
        .await
        .map_err(|_| Error::unavailable(format!("{address} gave no answer within {} s", PATIENCE.as_secs())))??;
    let listed = read(&address, status, &body)?;
    let models = listed.data.into_iter().map(|listed| model(listed, &base, api_key.as_ref())).collect::<Vec<_>>();
    if models.is_empty() {
        return Err(Error::unavailable(format!("The server at {url} serves no model.")));
    }
    Ok(Catalog { models })
}

async fn get(address: &str, api_key: Option<&SecretString>) -> Result<(StatusCode, Bytes)> {
    let mut request = Request::get(address);
    if let Some(key) = api_key {
        request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
    }
    let request = request.body(Full::default()).map_err(Error::internal)?;
    let unreachable = |cause| {
        Error::unavailable(format!("No model server answers at {address}. Is it running, and is the address right?"))
            .with_source(cause)
    };
    let client = UpstreamClient::new();
    let response = client.send(request, Timeouts::default().connect).await.map_err(unreachable)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_LIST_BYTES).collect().await;
    let body =
        body.map_err(|cause| Error::unavailable(format!("{address} broke off its answer")).with_source(cause))?;
    Ok((status, body.to_bytes()))
}

fn read(address: &str, status: StatusCode, body: &[u8]) -> Result<Listed> {
    let way_out = match status.as_u16() {
        200 => {
            return serde_json::from_slice(body).map_err(|cause| {
                Error::unavailable(format!("{address} does not list models as OpenAI's API does")).with_source(cause)
            });
        }
        401 | 403 => "it needs a key, or another one",
        404 => "an OpenAI-compatible address usually ends in /v1",
        _ => "is it a model server, and is it ready?",
    };
    Err(Error::unavailable(format!("{address} answered {}: {way_out}", status.as_u16())))
}

fn model(listed: ListedModel, base: &Url, api_key: Option<&SecretString>) -> Model {
    let deployment = Deployment {
        name: "upstream".into(),
        urls: vec![base.clone()],
        engine: if listed.owned_by.as_deref() == Some("vllm") { Engine::Vllm } else { Engine::Unknown },
        upstream_model: listed.id.clone(),
        api_key: api_key.cloned(),
        ..Deployment::default()
    };
    Model {
        name: listed.id,
        owned_by: listed.owned_by.unwrap_or_else(|| "tandem".into()),
        created: listed.created.unwrap_or(0),
        max_model_len: listed.max_model_len,
        deployments: vec![deployment],
        ..Model::default()
    }
}
