//! The parts of an upload form, in whatever order they come.

use super::sink::Sink;
use crate::app::Gateway;
use axum::extract::{
    Multipart,
    multipart::{Field, MultipartError},
};
use domain::{Error, FileId, Kind, Result};
use http::StatusCode;
use sha2::{Digest, Sha256};
use store::{
    Blobs, FileIndex,
    file_rules::{is_jsonl, judge_name, judge_size, to_filename},
};

const PURPOSES: [&str; 6] = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];

/// The longest text part that can make sense.
const TEXT_BYTES: usize = 1_024;

/// What a form held.
pub(super) struct Form {
    pub(super) id: FileId,
    pub(super) purpose: Option<String>,
    pub(super) anchor: Option<String>,
    pub(super) seconds: Option<String>,
    pub(super) file: Option<Stored>,
    /// SHA-256 of all that the parts said, if anybody asks.
    pub(super) said: Option<Sha256>,
    is_kept: bool,
}

/// A file whose bytes are in the blob store.
pub(super) struct Stored {
    pub(super) filename: String,
    pub(super) bytes: u64,
    pub(super) blob: String,
    pub(super) index: Option<FileIndex>,
}

impl Form {
    pub(super) fn new(id: FileId, is_hashed: bool) -> Self {
        let said = is_hashed.then(Sha256::new);
        Self { id, purpose: None, anchor: None, seconds: None, file: None, said, is_kept: true }
    }

    /// A form whose file goes nowhere.
    pub(super) fn not_kept() -> Self {
        Self { is_kept: false, ..Self::new(FileId::generate(), true) }
    }

    /// Reads every part. Parts with other names are read over.
    pub(super) async fn read(&mut self, gateway: &Gateway, mut body: Multipart) -> Result<()> {
        while let Some(field) = body.next_field().await.map_err(broken)? {
            match field.name().unwrap_or_default() {
                "file" => self.file = Some(self.store(gateway, field).await?),
                "purpose" => {
                    let purpose = self.text(field, "purpose").await?;
                    self.take_purpose(purpose)?;
                }
                "expires_after[anchor]" => self.anchor = Some(self.text(field, "expires_after[anchor]").await?),
                "expires_after[seconds]" => self.seconds = Some(self.text(field, "expires_after[seconds]").await?),
                _ => skip(field).await?,
            }
        }
        Ok(())
    }

    async fn text(&mut self, field: Field<'_>, name: &str) -> Result<String> {
        let text = text(field, name).await?;
        self.note([name, &text].map(str::as_bytes));
        Ok(text)
    }

    /// Adds a part to the hash. The lengths keep apart what would read the same joined.
    fn note<const N: usize>(&mut self, words: [&[u8]; N]) {
        let Some(said) = &mut self.said else { return };
        for word in words {
            said.update((word.len() as u64).to_be_bytes());
            said.update(word);
        }
    }

    /// One purpose only: the file may have been stored in the way of the first.
    fn take_purpose(&mut self, given: String) -> Result<()> {
        if self.purpose.is_some() {
            return Err(Error::invalid("The form has more than one part named 'purpose'.").with_param("purpose"));
        }
        self.purpose = Some(judge_purpose(given)?);
        Ok(())
    }

    async fn store(&mut self, gateway: &Gateway, mut field: Field<'_>) -> Result<Stored> {
        if self.file.is_some() {
            return Err(Error::invalid("The form has more than one part named 'file'.").with_param("file"));
        }
        let filename = to_filename(field.file_name().unwrap_or_default());
        self.judge_so_far(gateway, &filename, 0)?;
        let blob = format!("files/{}", self.id);
        let mut sink =
            if self.is_kept { Sink::open(&gateway.blobs, &blob, self.may_be_batch(&filename)) } else { Sink::Nowhere };
        let mut content = self.said.is_some().then(Sha256::new);
        let bytes = match self.pour(gateway, &filename, &mut field, (&mut sink, &mut content)).await {
            Ok(bytes) => bytes,
            Err(error) => {
                sink.abort().await;
                return Err(error);
            }
        };
        if let Some(content) = content {
            self.note([b"file", filename.as_bytes(), &content.finalize()]);
        }
        match sink.finish().await {
            Ok(index) => Ok(Stored { filename, bytes, blob, index }),
            Err(error) => {
                // The data may be there already when its index could not be written.
                delete(&gateway.blobs, &blob).await;
                Err(error)
            }
        }
    }

    async fn pour(
        &self,
        gateway: &Gateway,
        filename: &str,
        field: &mut Field<'_>,
        (sink, content): (&mut Sink, &mut Option<Sha256>),
    ) -> Result<u64> {
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            bytes += chunk.len() as u64;
            self.judge_so_far(gateway, filename, bytes)?;
            if let Some(content) = content {
                content.update(&chunk);
            }
            sink.write(chunk).await?;
        }
        Ok(bytes)
    }

    /// What can be judged before the purpose is known, which may come after the file.
    fn judge_so_far(&self, gateway: &Gateway, filename: &str, bytes: u64) -> Result<()> {
        match &self.purpose {
            Some(purpose) => judge_file(gateway, purpose, filename, bytes),
            None => judge_size(gateway.largest_file(), bytes, "file"),
        }
    }

    fn may_be_batch(&self, filename: &str) -> bool {
        self.purpose.as_ref().map_or_else(|| is_jsonl(filename), |purpose| purpose == "batch")
    }

    /// Drops the line index of a file that turned out not to be a batch.
    pub(super) async fn settle(&mut self, gateway: &Gateway) {
        let is_batch = self.purpose.as_deref() == Some("batch");
        if let Some(index) = self.file.as_mut().filter(|_| !is_batch).and_then(|file| file.index.take()) {
            delete(&gateway.blobs, &index.blob).await;
        }
    }

    /// Takes back what was stored.
    pub(super) async fn discard(&self, gateway: &Gateway) {
        let Some(file) = &self.file else { return };
        let sidecar = file.index.as_ref().map(|index| &index.blob);
        for blob in sidecar.into_iter().chain([&file.blob]) {
            delete(&gateway.blobs, blob).await;
        }
    }
}

/// Removes what is nobody's. What fails is only said: the blob has no row.
pub(crate) async fn delete(blobs: &Blobs, blob: &str) {
    if let Err(error) = blobs.delete(blob).await {
        tracing::warn!(blob, error = %error.chain(), "a blob of a refused upload could not be removed");
    }
}

/// Refuses purposes that no upload may have.
pub(crate) fn judge_purpose(purpose: String) -> Result<String> {
    if PURPOSES.contains(&purpose.as_str()) {
        return Ok(purpose);
    }
    let allowed = PURPOSES.join("', '");
    let short: String = purpose.chars().take(64).collect();
    Err(Error::invalid(format!("Invalid value: '{short}'. Supported values are: '{allowed}'."))
        .with_param("purpose")
        .with_code("invalid_value"))
}

/// Refuses a file that its purpose does not allow.
pub(super) fn judge_file(gateway: &Gateway, purpose: &str, filename: &str, bytes: u64) -> Result<()> {
    judge_name(purpose, filename, "file")?;
    match purpose {
        "batch" => judge_size(gateway.settings.max_batch_file_bytes, bytes, "file"),
        _ => judge_size(gateway.settings.max_file_bytes, bytes, "file"),
    }
}

async fn text(mut field: Field<'_>, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > TEXT_BYTES {
            return Err(Error::invalid(format!("The part '{name}' is too long.")).with_param(name));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("The part '{name}' is not UTF-8.")).with_param(name))
}

/// Reads over a part.
pub(crate) async fn skip(mut field: Field<'_>) -> Result<()> {
    while field.chunk().await.map_err(broken)?.is_some() {}
    Ok(())
}

/// A form that can't be read.
pub(crate) fn broken(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::new(Kind::TooLarge, "The form is larger than allowed.").with_source(error);
    }
    Error::invalid(format!("The multipart form can't be read: {}.", error.body_text())).with_source(error)
}
