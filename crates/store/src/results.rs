//! The records of a batch, line by line in the order of its input. While the batch runs these are the lines up to the first one
//! without a record, from segments; once it has ended they are all its lines, from its files.

use crate::{
    BatchPart, BatchRow, Blobs, FilePart, FileRow, SegmentRow, Side, Store, plan::shard_row, records::require_crc32c,
    row::db,
};
use bytes::Bytes;
use domain::{Bitmap, Error, FileId, Kind, Result};
use std::{collections::VecDeque, ops::Range};

/// Shards whose rows are read at once.
const MAX_PIECES: i64 = 1_000;

/// The record of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLine {
    /// The place of its line in the input, counted from 1; blank lines don't count.
    pub line: i64,
    /// Which file it belongs to.
    pub side: Side,
    /// One line of JSON without its newline.
    pub json: Bytes,
}

/// Records that can be read. Which ones was settled when this was made; they are read a shard at a time.
#[derive(Debug)]
pub struct Results {
    blobs: Blobs,
    pieces: VecDeque<Piece>,
    last_line: i64,
}

/// Lines of one shard.
#[derive(Debug)]
struct Piece {
    /// The first line of the shard, counted from 0.
    first_line: i64,
    lines: usize,
    /// Those asked for.
    wanted: Range<usize>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Segments(Vec<SegmentRow>),
    Files { answered: Bitmap, output: Option<(String, FilePart)>, error: Option<(String, FilePart)> },
}

/// Cuts what was asked for into pieces.
struct Cutter {
    pieces: VecDeque<Piece>,
    next_line: i64,
    room: i64,
}

impl Store {
    /// The records of the lines after `after`, at most `limit` of them. Fewer, or none, when the next line has no record yet.
    ///
    /// # Errors
    /// `NotFound` when a file of an ended batch is gone; Conflict when the batch ended before an upgrade and only has its files.
    pub async fn results(&self, blobs: &Blobs, batch: &BatchRow, after: i64, limit: i64) -> Result<Results> {
        let mut cutter = Cutter { pieces: VecDeque::new(), next_line: after, room: limit };
        if batch.status.is_terminal() {
            self.cut_files(batch, &mut cutter).await?;
        } else {
            self.cut_segments(batch, &mut cutter).await?;
        }
        Ok(Results { blobs: blobs.clone(), pieces: cutter.pieces, last_line: cutter.next_line })
    }

    async fn cut_segments(&self, batch: &BatchRow, cutter: &mut Cutter) -> Result<()> {
        let rows = self
            .sql("SELECT * FROM shards WHERE batch_id = $1 AND first_line + line_count > $2 ORDER BY ordinal LIMIT $3")
            .bind(batch.id.as_str())
            .bind(cutter.next_line)
            .bind(cutter.room.min(MAX_PIECES))
            .fetch_all(self.reader())
            .await
            .map_err(db)?;
        let mut ordinals = Vec::new();
        for row in &rows {
            let shard = shard_row(row)?;
            let finished = shard.done.missing().next().unwrap_or(shard.done.len());
            if !cutter.cut(shard.first_line, shard.done.len(), finished, Source::Segments(Vec::new())) {
                break;
            }
            ordinals.push(shard.ordinal);
        }
        let (Some(first), Some(last)) = (ordinals.first(), ordinals.last()) else { return Ok(()) };
        for segment in self.segments_of(&batch.id, *first..=*last).await? {
            let Ok(at) = ordinals.binary_search(&segment.ordinal) else { continue };
            cutter.pieces[at].add(segment);
        }
        Ok(())
    }

    async fn cut_files(&self, batch: &BatchRow, cutter: &mut Cutter) -> Result<()> {
        if cutter.next_line >= batch.total_lines {
            return Ok(());
        }
        let parts = self.parts(&batch.id, cutter.next_line, cutter.room.min(MAX_PIECES)).await?;
        if parts.is_empty() {
            let text = "This batch ended before its lines could be read one by one; download its files instead.";
            return Err(Error::new(Kind::Conflict, text).with_code("results_not_indexed"));
        }
        let output = self.file_of(batch, batch.output_file_id.as_ref()).await?;
        let error = self.file_of(batch, batch.error_file_id.as_ref()).await?;
        for part in parts {
            let lines = part.answered.len();
            if !cutter.cut(part.first_line, lines, lines, Source::of_part(&part, output.as_ref(), error.as_ref())) {
                break;
            }
        }
        Ok(())
    }

    /// The records of the error file of an ended batch that are in `part`, with the numbers of their lines.
    ///
    /// # Errors
    /// When they can't be read now, or are not what was written.
    pub async fn error_records(&self, blobs: &Blobs, error: &FileRow, part: &BatchPart) -> Result<Vec<ResultLine>> {
        let numbers = part.answered.missing().map(|at| part.first_line + at as i64 + 1);
        let records = lines(blobs, &Some((error.blob.clone(), part.error))).await?;
        Ok(numbers.zip(records).map(|(line, json)| ResultLine { line, side: Side::Err, json }).collect())
    }

    async fn file_of(&self, batch: &BatchRow, id: Option<&FileId>) -> Result<Option<FileRow>> {
        let Some(id) = id else { return Ok(None) };
        let file = self.file(&batch.tenant, id).await?;
        file.map(Some)
            .ok_or_else(|| Error::not_found(format!("The file {id} of this batch was deleted or has expired.")))
    }
}

impl Cutter {
    /// Takes what is wanted of a shard whose first `finished` lines have records. `false`: nothing after it can be taken.
    fn cut(&mut self, first_line: i64, lines: usize, finished: usize, source: Source) -> bool {
        let from = usize::try_from(self.next_line - first_line).unwrap_or(usize::MAX);
        let room = usize::try_from(self.room).unwrap_or(0);
        let until = finished.min(from.saturating_add(room));
        if from >= until {
            return false;
        }
        self.room -= (until - from) as i64;
        self.next_line += (until - from) as i64;
        self.pieces.push_back(Piece { first_line, lines, wanted: from..until, source });
        // Beyond a line without a record nothing is wanted: the next shard does not begin where this one stopped.
        true
    }
}

impl Source {
    fn of_part(part: &BatchPart, output: Option<&FileRow>, error: Option<&FileRow>) -> Self {
        let place = |file: Option<&FileRow>, range| file.map(|file| (file.blob.clone(), range));
        Self::Files {
            answered: part.answered.clone(),
            output: place(output, part.output),
            error: place(error, part.error),
        }
    }
}

impl Piece {
    /// Takes a segment in, if it holds a line that is wanted.
    fn add(&mut self, segment: SegmentRow) {
        if let Source::Segments(segments) = &mut self.source
            && self.wanted.clone().any(|line| segment.done.contains(line))
        {
            segments.push(segment);
        }
    }

    async fn read(self, blobs: &Blobs) -> Result<Vec<ResultLine>> {
        let records = match &self.source {
            Source::Segments(segments) => blobs.shard_records(segments, self.lines).await?,
            Source::Files { answered, output, error } => {
                let (mut output, mut error) = (lines(blobs, output).await?, lines(blobs, error).await?);
                let mut next = |line| match answered.contains(line) {
                    true => output.pop_front().map(|json| (Side::Ok, json)),
                    false => error.pop_front().map(|json| (Side::Err, json)),
                };
                (0..self.lines).map(&mut next).collect()
            }
        };
        // Lines before the wanted ones are passed over: `Iterator::skip`.
        let wanted = records.into_iter().enumerate().skip(self.wanted.start).take(self.wanted.len());
        wanted
            .map(|(at, record)| {
                let line = self.first_line + at as i64 + 1;
                let (side, json) = record.ok_or_else(|| Error::internal(format!("line {line} has lost its record")))?;
                Ok(ResultLine { line, side, json })
            })
            .collect()
    }
}

/// The lines in a part of a file.
async fn lines(blobs: &Blobs, place: &Option<(String, FilePart)>) -> Result<VecDeque<Bytes>> {
    let Some((path, part)) = place else { return Ok(VecDeque::new()) };
    let bytes = blobs.range(path, part.range()).await?;
    require_crc32c(path, &bytes, Some(part.crc32c))?;
    Ok(wire::jsonl::lines(&bytes).map(|line| bytes.slice_ref(line)).collect())
}

impl Results {
    /// The number of the last line in it; the one before its first when it has none.
    #[must_use]
    pub fn last_line(&self) -> i64 {
        self.last_line
    }

    /// The next records, those of one shard; `None` after the last.
    ///
    /// # Errors
    /// When they can't be read now, or are not what was written.
    pub async fn next(&mut self) -> Result<Option<Vec<ResultLine>>> {
        match self.pieces.pop_front() {
            Some(piece) => piece.read(&self.blobs).await.map(Some),
            None => Ok(None),
        }
    }
}
