//! The input of a batch: its file, and the index that says where each line is.

use crate::in_time::InTime;
use bytes::Bytes;
use domain::{Error, Result};
use std::{borrow::Cow, ops::Range};
use store::{BatchRow, Blobs, FileIndex, Store};

const RECORD: u64 = 16;

/// Where a line is, as the index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    /// Estimated prompt tokens.
    pub(crate) tokens: u32,
}

impl Place {
    /// The byte after the line.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// The input file of a batch.
pub(crate) struct Input {
    blob: String,
    pub(crate) index: FileIndex,
}

impl Input {
    /// Finds the input of `batch`; `None` when it is gone or was never a batch input.
    pub(crate) async fn find(store: &Store, batch: &BatchRow) -> Result<Option<Self>> {
        let Some(file) = store.input_file(&batch.input_file_id).in_time().await? else { return Ok(None) };
        let Some(index) = file.index else { return Ok(None) };
        let index = serde_json::from_str(&index).map_err(Error::internal)?;
        Ok(Some(Self { blob: file.blob, index }))
    }

    /// Like [`Input::find`], for a batch whose input was seen before.
    pub(crate) async fn open(store: &Store, batch: &BatchRow) -> Result<Self> {
        let input = Self::find(store, batch).await?;
        input
            .ok_or_else(|| Error::internal(format!("input file {} of batch {} is gone", batch.input_file_id, batch.id)))
    }

    /// The places of `lines`, counted from 0 over the non-blank lines of the file.
    pub(crate) async fn places(&self, blobs: &Blobs, lines: Range<u64>) -> Result<Vec<Place>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = blobs.range(&self.index.blob, lines.start * RECORD..lines.end * RECORD).await?;
        let places: Vec<_> = bytes.chunks_exact(16).map(place).collect();
        if places.len() as u64 == lines.end - lines.start {
            Ok(places)
        } else {
            Err(Error::internal(format!("index {} ends before line {}", self.index.blob, lines.end)))
        }
    }

    /// The lines in a byte range, `count` of them.
    pub(crate) async fn lines(&self, blobs: &Blobs, bytes: Range<u64>, count: usize) -> Result<Vec<Bytes>> {
        let read = blobs.range(&self.blob, bytes).await?;
        let lines: Vec<_> = wire::jsonl::lines(&read).map(|line| read.slice_ref(line)).collect();
        if lines.len() == count {
            Ok(lines)
        } else {
            Err(Error::internal(format!("{} has {} lines where {count} were planned", self.blob, lines.len())))
        }
    }
}

fn place(record: &[u8]) -> Place {
    let mut fields = record.iter().copied();
    let mut read =
        |bytes: u32| (0..bytes).fold(0u64, |value, at| value | u64::from(fields.next().unwrap_or(0)) << (8 * at));
    let (offset, len, tokens) = (read(8), read(4), read(4));
    let narrow = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Place { offset, len: narrow(len), tokens: narrow(tokens) }
}

/// The name the caller gave to a line; empty if the line has none.
pub(crate) fn custom_id(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        custom_id: Cow<'a, str>,
    }
    serde_json::from_slice::<Named<'_>>(line).map(|named| named.custom_id.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_little_endian() {
        let mut record = Vec::new();
        record.extend_from_slice(&0x0102_0304_0506u64.to_le_bytes());
        record.extend_from_slice(&77u32.to_le_bytes());
        record.extend_from_slice(&9u32.to_le_bytes());

        assert_eq!(place(&record), Place { offset: 0x0102_0304_0506, len: 77, tokens: 9 });
    }

    #[test]
    fn a_name_is_found_in_the_line() {
        assert_eq!(custom_id(br#"{"method":"POST","custom_id":"a\"b"}"#), "a\"b");
    }
}
