//! The index of a batch input that came in parts: what was found in each, one after the other, and the lines that cross their
//! borders. Reads 32 bytes a line and the ends of each part, never the whole.

use crate::{
    Blobs, FileIndex, IngestLimits, LineIssue, LineRecord, PartLines, Source,
    findings::{Findings, repeated},
    line::judge,
    part_lines::{PART_RECORD_BYTES, records_blob},
};
use bytes::Bytes;
use domain::{Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use wire::jsonl::LineScanner;

/// Parts whose ends are fetched ahead; each may have two of the longest lines.
const AHEAD: usize = 4;
/// Mistakes that are told in full.
const MAX_REPEATED: usize = 100;
/// A byte order mark and a carriage return, which don't count.
const MARGIN: u64 = 4;

/// A part, in its place.
#[derive(Debug, Clone)]
pub struct JoinedPart {
    /// Its bytes.
    pub source: Source,
    /// What was found in it.
    pub lines: PartLines,
}

/// What has to be read of a part.
struct Ends {
    head: Bytes,
    tail: Bytes,
    records: Bytes,
}

struct Join<'a> {
    blobs: &'a Blobs,
    limits: IngestLimits,
    findings: Findings,
    /// The line that the next part begins in.
    open: LineScanner,
    offset: u64,
}

impl FileIndex {
    /// The index of the file that `parts` are in order, written to `blob`.
    ///
    /// # Errors
    /// When a part can't be read or the index can't be written.
    pub async fn join(blobs: &Blobs, blob: &str, limits: IngestLimits, parts: &[JoinedPart]) -> Result<Self> {
        let mut join = Join {
            blobs,
            limits,
            findings: Findings::new(blob.to_owned(), limits),
            open: LineScanner::new(limits.max_line_bytes),
            offset: 0,
        };
        let mut index = blobs.writer(blob);
        let written = async {
            let mut room = limits.max_lines;
            let fetched = parts.iter().map(|part| {
                let wanted = part.lines.records.min(room);
                room -= wanted;
                fetch(blobs, part, wanted, u64::from(limits.max_line_bytes) + MARGIN)
            });
            let mut fetched = stream::iter(fetched.collect::<Vec<_>>()).buffered(AHEAD).zip(stream::iter(parts));
            while let Some((ends, part)) = fetched.next().await {
                join.take(part, ends?).await?;
                index.write(join.findings.records.split().freeze()).await?;
            }
            let Join { open, mut findings, .. } = join;
            open.finish(|line| findings.take(line));
            index.write(findings.records.split().freeze()).await?;
            Ok(findings)
        };
        match written.await {
            Ok(findings) => {
                index.finish().await?;
                Ok(findings.end())
            }
            Err(error) => {
                index.abort().await;
                Err(error)
            }
        }
    }
}

/// Of ends that are longer than any line may be, only so much is read that this shows.
async fn fetch(blobs: &Blobs, part: &JoinedPart, records: u64, longest: u64) -> Result<Ends> {
    let JoinedPart { source, lines } = part;
    let content = lines.head - u64::from(lines.newlines > 0);
    let tail = source.info.bytes - lines.tail;
    Ok(Ends {
        head: blobs.range(&source.path, 0..content.min(longest)).await?,
        tail: blobs.range(&source.path, tail..tail + lines.tail.min(longest)).await?,
        records: blobs.range(&records_blob(&source.path), 0..records * PART_RECORD_BYTES as u64).await?,
    })
}

impl Join<'_> {
    async fn take(&mut self, part: &JoinedPart, ends: Ends) -> Result<()> {
        let JoinedPart { source, lines } = part;
        self.feed(&ends.head);
        if lines.newlines > 0 {
            self.feed(b"\n");
            let (next, _) = self.open.line();
            // The line that has just ended is the part's first.
            let before = next - 2;
            self.take_records(&source.path, lines, before, &ends.records).await?;
            let start = self.offset + source.info.bytes - lines.tail;
            self.open = LineScanner::starting(self.limits.max_line_bytes, before + lines.newlines + 1, start);
            self.feed(&ends.tail);
        }
        self.offset += source.info.bytes;
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.open.feed(bytes, |line| self.findings.take(line));
    }

    async fn take_records(&mut self, path: &str, lines: &PartLines, before: u64, records: &Bytes) -> Result<()> {
        let mut issues = Vec::new();
        let mut count = 0;
        let room = usize::try_from(self.findings.room()).unwrap_or(usize::MAX);
        for (at, record) in records.as_chunks::<PART_RECORD_BYTES>().0.iter().take(room).enumerate() {
            let (place, name) = split(record)?;
            if !self.findings.is_new(name) {
                count += 1;
                if issues.len() < MAX_REPEATED {
                    issues.push((at, place));
                }
            }
            let record = LineRecord { offset: self.offset + place.offset, ..place };
            self.findings.records.extend_from_slice(&record.to_bytes());
        }
        let told = issues.len() as u64;
        let issues = self.tell(path, lines, before, issues).await?;
        self.findings.join(&lines.found, before, issues);
        self.findings.found.error_count += count - told;
        Ok(())
    }

    /// Which names repeat, and in which lines.
    async fn tell(
        &self,
        path: &str,
        lines: &PartLines,
        before: u64,
        issues: Vec<(usize, LineRecord)>,
    ) -> Result<Vec<LineIssue>> {
        let numbers = self.numbers(path, lines, &issues).await?;
        let told = issues.into_iter().zip(numbers).map(|((_, place), number)| async move {
            let end = place.offset + u64::from(place.len);
            let bytes = self.blobs.range(path, place.offset..end).await?;
            let custom_id = judge(&bytes).map(|good| good.custom_id.into_owned()).unwrap_or_default();
            Ok::<_, Error>(repeated(&custom_id).at(before + number))
        });
        stream::iter(told.collect::<Vec<_>>()).buffered(AHEAD).try_collect().await
    }

    /// The numbers of lines within a part. Blank lines have no record, so line endings are counted; this is only done for
    /// files with mistakes.
    async fn numbers(&self, path: &str, lines: &PartLines, issues: &[(usize, LineRecord)]) -> Result<Vec<u64>> {
        let Some((_, last)) = issues.last() else { return Ok(Vec::new()) };
        if lines.newlines == lines.records + 1 {
            return Ok(issues.iter().map(|(at, _)| *at as u64 + 2).collect());
        }
        let mut numbers = Vec::new();
        let (mut number, mut at) = (1, 0);
        let mut bytes = self.blobs.stream(path, Some(0..last.offset + 1)).await?;
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            let mut seen = 0;
            while let Some((_, place)) =
                issues.get(numbers.len()).filter(|(_, place)| place.offset < at + chunk.len() as u64)
            {
                let until = usize::try_from(place.offset - at).map_err(Error::internal)?;
                number += memchr::memchr_iter(b'\n', &chunk[seen..until]).count() as u64;
                seen = until;
                numbers.push(number);
            }
            number += memchr::memchr_iter(b'\n', &chunk[seen..]).count() as u64;
            at += chunk.len() as u64;
        }
        Ok(numbers)
    }
}

fn split(record: &[u8; PART_RECORD_BYTES]) -> Result<(LineRecord, u128)> {
    let (place, name) = record.split_at(PART_RECORD_BYTES / 2);
    let place = LineRecord::parse_all(place).next().ok_or_else(|| Error::internal("no record"))?;
    Ok((place, u128::from_le_bytes(name.try_into().map_err(Error::internal)?)))
}
