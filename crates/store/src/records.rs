//! Records of lines as segments hold them: one JSON object a line, `{"n": <line within the shard>, "r": <record>}`, in the order
//! in which the lines were answered.

use crate::{Blobs, SegmentRow};
use bytes::Bytes;
use domain::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Which of the two files of a batch a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Answered with a 2xx: the output file.
    Ok,
    /// Anything else: the error file.
    Err,
}

#[derive(Deserialize)]
struct Stored<'a> {
    n: usize,
    #[serde(borrow)]
    r: &'a RawValue,
}

/// Appends the record of a line to the bytes of a segment.
pub fn append_record(number: usize, json: &[u8], segment: &mut Vec<u8>) {
    segment.extend_from_slice(format!("{{\"n\":{number},\"r\":").as_bytes());
    segment.extend_from_slice(json);
    segment.extend_from_slice(b"}\n");
}

/// Reads the records of a segment back: the line's number within its shard, and its JSON.
fn read_records(segment: &Bytes) -> Result<Vec<(usize, Bytes)>> {
    wire::jsonl::lines(segment)
        .map(|line| {
            let stored: Stored<'_> = serde_json::from_slice(line).map_err(Error::internal)?;
            Ok((stored.n, segment.slice_ref(stored.r.get().as_bytes())))
        })
        .collect()
}

impl Blobs {
    /// The records in `segments` of one shard of `lines` lines, each at the place of its line. Holds all of them in memory.
    ///
    /// # Errors
    /// When a segment can't be read, is not what was written, or has a line twice.
    pub async fn shard_records(&self, segments: &[SegmentRow], lines: usize) -> Result<Vec<Option<(Side, Bytes)>>> {
        let mut records: Vec<Option<(Side, Bytes)>> = vec![None; lines];
        for segment in segments {
            for (side, blob) in [(Side::Ok, &segment.ok), (Side::Err, &segment.err)] {
                let Some(blob) = blob else { continue };
                for (number, json) in read_records(&self.intact(&blob.path, blob.crc32c).await?)? {
                    let slot = records.get_mut(number).ok_or_else(|| misplaced(&blob.path, number))?;
                    if slot.replace((side, json)).is_some() {
                        return Err(misplaced(&blob.path, number));
                    }
                }
            }
        }
        Ok(records)
    }

    /// The bytes of a segment, if they are what was written.
    async fn intact(&self, path: &str, crc32c: Option<u32>) -> Result<Bytes> {
        let bytes = self.get(path).await?;
        require_crc32c(path, &bytes, crc32c)?;
        Ok(bytes)
    }
}

/// Bytes that are not what was written are nobody's answer.
pub(crate) fn require_crc32c(path: &str, bytes: &[u8], written: Option<u32>) -> Result<()> {
    let found = crc32c::crc32c(bytes);
    match written {
        Some(written) if written != found => {
            Err(Error::internal(format!("{path} has the checksum {found:08x}; {written:08x} was written")))
        }
        _ => Ok(()),
    }
}

fn misplaced(blob: &str, number: usize) -> Error {
    Error::internal(format!("segment {blob} has line {number} twice or out of bounds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_gives_back_what_was_stored() {
        let mut segment = Vec::new();

        append_record(3, br#"{"a": 1}"#, &mut segment);
        append_record(0, br#"{"b":"\n"}"#, &mut segment);

        let records = read_records(&Bytes::from(segment)).unwrap();
        let records: Vec<_> = records.iter().map(|(number, json)| (*number, &**json)).collect();
        assert_eq!(records, [(3, &br#"{"a": 1}"#[..]), (0, &br#"{"b":"\n"}"#[..])]);
    }
}
