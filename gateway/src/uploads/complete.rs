//! Making a file of the parts of an upload. Whoever does it holds a lease; others with the same request wait for the file.
//! It goes on when its client has gone, so that a client that comes back finds it done (ADR 0019).

use super::{find, part::limits, require_pending};
use crate::{
    app::Gateway,
    upload::{self, form},
};
use domain::{Error, FileId, Kind, PartId, Result, TenantId};
use futures::StreamExt;
use md5::{Digest, Md5};
use sha2::Sha256;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use store::{
    BlobInfo, Blobs, Completion, FileIndex, FileRow, JoinedPart, NewFile, PartRow, Source, UploadRow, UploadStatus,
};

/// How often an upload that somebody else completes is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often a lease is renewed within its time.
const RENEWALS: u64 = 3;

/// What the client asks for.
pub(super) struct Wanted {
    parts: Vec<PartId>,
    md5: Option<[u8; 16]>,
}

impl Wanted {
    pub(super) fn parse(part_ids: Option<Vec<String>>, md5: Option<String>, most: usize) -> Result<Self> {
        let given = part_ids.ok_or_else(|| upload::missing("part_ids"))?;
        let invalid = |text: String| Err(Error::invalid(text).with_param("part_ids").with_code("invalid_value"));
        if given.is_empty() || given.len() > most {
            return invalid(format!("'part_ids' must have 1 to {most} ids, not {}.", given.len()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = given.iter().find(|id| !seen.insert(id.as_str())) {
            return invalid(format!("'part_ids' has '{}' twice.", twice.chars().take(64).collect::<String>()));
        }
        let md5 = md5.map(|text| parse_md5(&text)).transpose()?;
        Ok(Self { parts: given.into_iter().map(PartId::from_string).collect(), md5 })
    }

    fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for part in &self.parts {
            hasher.update(part.as_str());
            hasher.update("\n");
        }
        hasher.update(self.md5.unwrap_or_default());
        hex::encode(hasher.finalize())
    }

    /// The parts in their order, if they are all there and make up the file.
    fn pick(&self, upload: &UploadRow, parts: Vec<PartRow>) -> Result<Vec<PartRow>> {
        let mut parts: HashMap<_, _> = parts.into_iter().map(|part| (part.id.clone(), part)).collect();
        let picked = self.parts.iter().map(|id| {
            parts.remove(id).ok_or_else(|| {
                let shown: String = id.as_str().chars().take(64).collect();
                Error::invalid(format!("The upload has no part '{shown}'.")).with_param("part_ids")
            })
        });
        let picked: Vec<_> = picked.collect::<Result<_>>()?;
        let sum: u64 = picked.iter().map(|part| part.info.bytes).sum();
        if sum == upload.bytes.unsigned_abs() {
            return Ok(picked);
        }
        let text = format!("The parts have {sum} bytes together; the upload was made for {}.", upload.bytes);
        Err(Error::invalid(text).with_param("part_ids").with_code("bytes_mismatch"))
    }
}

fn parse_md5(text: &str) -> Result<[u8; 16]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Error::invalid("'md5' must be 32 hexadecimal digits.").with_param("md5"))
}

/// Completes the upload, or waits for whoever does.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    tenant: &TenantId,
    id: &str,
    wanted: Wanted,
) -> Result<(UploadRow, Option<FileRow>)> {
    let request_sha256 = wanted.sha256();
    let wanted = Arc::new(wanted);
    loop {
        let upload = find(gateway, tenant, id).await?;
        let is_same = upload.request_sha256.as_ref() == Some(&request_sha256);
        if upload.status == UploadStatus::Completed && is_same {
            return shown(gateway, upload).await;
        }
        require_pending(&upload)?;
        let parts = wanted.pick(&upload, gateway.store.upload_parts(&upload.id).await?)?;
        let completion = Completion {
            upload: upload.id.clone(),
            owner: FileId::generate().to_string(),
            request_sha256: request_sha256.clone(),
        };
        if gateway.store.begin_completion(&completion, gateway.settings.uploads.lease_ms).await? {
            let (owner, wanted) = (Arc::clone(gateway), Arc::clone(&wanted));
            let making = gateway.uploads.spawn(async move { own(&owner, &completion, &upload, parts, &wanted).await });
            making.await.map_err(Error::internal)??;
            continue;
        }
        if upload.request_sha256.is_some() && !is_same {
            let text = "The upload is being completed with other parts.";
            return Err(Error::new(Kind::Conflict, text).with_code("upload_not_pending").with_param("part_ids"));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn shown(gateway: &Gateway, upload: UploadRow) -> Result<(UploadRow, Option<FileRow>)> {
    let Some(id) = &upload.file else { return Ok((upload, None)) };
    let file = gateway.store.file(&upload.tenant, id).await?;
    Ok((upload, file))
}

/// Makes the file as the owner of `completion`, for as long as that can be kept.
async fn own(
    gateway: &Gateway,
    completion: &Completion,
    upload: &UploadRow,
    parts: Vec<PartRow>,
    wanted: &Wanted,
) -> Result<()> {
    let file = FileId::generate();
    let blob = format!("files/{file}");
    let made = tokio::select! {
        made = make(gateway, completion, upload, (&file, &blob), parts, wanted) => made,
        () = until_lost(gateway, completion) => Err(changed_meanwhile()),
    };
    if made.is_err() {
        for blob in [format!("{blob}.index"), blob] {
            form::delete(&gateway.blobs, &blob).await;
        }
        gateway.store.release_completion(completion).await?;
    }
    made
}

async fn make(
    gateway: &Gateway,
    completion: &Completion,
    upload: &UploadRow,
    (file, blob): (&FileId, &str),
    parts: Vec<PartRow>,
    wanted: &Wanted,
) -> Result<()> {
    let sources: Vec<_> = parts.iter().map(PartRow::source).collect();
    let (info, index, ()) = tokio::try_join!(
        gateway.blobs.assemble(blob, &sources),
        index(gateway, blob, parts),
        require_md5(&gateway.blobs, &sources, wanted.md5),
    )?;
    let index = index.map(|index| FileIndex { bytes: info.bytes, crc32c: info.crc32c, ..index });
    let new = new_file(gateway, upload, (file, blob), info, index.as_ref()).await?;
    gateway.store.finish_upload(completion, &new).await?.map(drop).ok_or_else(changed_meanwhile)
}

/// What was found when the parts arrived, put together.
async fn index(gateway: &Gateway, blob: &str, parts: Vec<PartRow>) -> Result<Option<FileIndex>> {
    let joined = parts.into_iter().map(|part| {
        let source = part.source();
        part.lines.map(|lines| JoinedPart { source, lines })
    });
    let Some(joined) = joined.collect::<Option<Vec<_>>>() else { return Ok(None) };
    FileIndex::join(&gateway.blobs, &format!("{blob}.index"), limits(gateway), &joined).await.map(Some)
}

/// MD5 can't be put together from parts: whoever asks for it has everything read once more.
async fn require_md5(blobs: &Blobs, sources: &[Source], wanted: Option<[u8; 16]>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let mut hasher = Md5::new();
    for source in sources {
        let mut bytes = blobs.blocks(source);
        while let Some(chunk) = bytes.next().await {
            hasher.update(&chunk?);
        }
    }
    let found: [u8; 16] = hasher.finalize().into();
    if found == wanted {
        return Ok(());
    }
    let text = format!("The parts have the MD5 {} together, not the one given.", hex::encode(found));
    Err(Error::invalid(text).with_param("md5").with_code("md5_mismatch"))
}

async fn new_file(
    gateway: &Gateway,
    upload: &UploadRow,
    (file, blob): (&FileId, &str),
    info: BlobInfo,
    index: Option<&FileIndex>,
) -> Result<NewFile> {
    let now_ms = gateway.store.now_ms().await?;
    Ok(NewFile {
        id: file.clone(),
        tenant: upload.tenant.clone(),
        purpose: upload.purpose.clone(),
        filename: upload.filename.clone(),
        bytes: i64::try_from(info.bytes).map_err(Error::internal)?,
        blob: blob.to_owned(),
        crc32c: Some(info.crc32c),
        index: index.map(serde_json::to_string).transpose().map_err(Error::internal)?,
        expires_at_ms: upload.file_ttl_secs.map(|secs| now_ms.saturating_add(secs.saturating_mul(1_000))),
    })
}

/// Keeps the lease; returns when it is lost.
async fn until_lost(gateway: &Gateway, completion: &Completion) {
    let lease_ms = gateway.settings.uploads.lease_ms;
    loop {
        tokio::time::sleep(Duration::from_millis(lease_ms.unsigned_abs() / RENEWALS)).await;
        match gateway.store.renew_completion(completion, lease_ms).await {
            Ok(true) => {}
            Ok(false) => return,
            // The transaction that makes the file asks again; this only saves work.
            Err(error) => tracing::warn!(error = %error.chain(), "the lease on {} is not renewed", completion.upload),
        }
    }
}

fn changed_meanwhile() -> Error {
    let text = "The upload was cancelled, or completed by somebody else, while its file was made.";
    Error::new(Kind::Conflict, text).with_code("upload_not_pending").with_param("upload_id")
}
