//! What happens to gateways.

use crate::{
    cluster::{Cluster, LIMIT, LINES, Seen},
    rows,
};
use e2e::{chat_lines, eventually};
use futures::{StreamExt, stream};
use std::{convert::Infallible, path::Path};

rows! {
    a_gateway_is_killed_while_it_takes_a_file, "kill -9 of the gateway in the middle of an upload", "there is no half file; the next upload is whole", "33, 34";
}

/// Bytes that are written before the whole file has come.
const WRITTEN: u64 = 1 << 20;

async fn a_gateway_is_killed_while_it_takes_a_file() -> Seen {
    let mut cluster = Cluster::with_workers(&[&[], &[], &[]], "").await;
    let half = stream::iter([Ok::<_, Infallible>(chat_lines(200_000, 20))]).chain(stream::pending());
    let part = reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(half)).file_name("input.jsonl");
    let form = reqwest::multipart::Form::new().text("purpose", "batch").part("file", part);
    let url = format!("{}/v1/files", cluster.gateway.url);
    let upload = cluster.site.client().post(url).bearer_auth(&cluster.site.key).multipart(form).timeout(LIMIT);
    let upload = tokio::spawn(upload.send());
    let blobs = cluster.site.folder().join("blobs");
    assert!(eventually(LIMIT, async || size(&blobs) > WRITTEN).await, "{}", cluster.site.log());

    let next = cluster.site.start_gateway_of(&cluster.orchestrator).await;
    std::mem::replace(&mut cluster.gateway, next).kill();

    assert!(upload.await.unwrap().is_err(), "nobody was told that it is there");
    let files = cluster.site.try_get(&cluster.gateway, "/v1/files").await.unwrap();
    assert_eq!(files["data"].as_array().unwrap().len(), 0, "{files}");
    cluster.submit(LINES).await.completed().await
}

/// Bytes in a folder, those of unfinished files too.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let size = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    size.sum()
}
