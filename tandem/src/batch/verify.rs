//! `tandem batch verify`: proves from the files alone that every line of the input has exactly one record, in exactly one of the
//! two files, in the order of the input, on the side where it belongs; and holds the files against an audit. Reads each file once,
//! a line at a time.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};
use store::FilePart;
use wire::batch_audit::{AuditFile, AuditRange, AuditRun, BatchAudit, hex_crc32c};

/// The longest line of a file that is read.
const MAX_LINE_BYTES: u64 = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) lines: i64,
    pub(crate) output: i64,
    pub(crate) error: i64,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<Answer<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    status_code: u16,
    #[serde(borrow, rename = "body")]
    _body: &'a RawValue,
}

/// A file of records and the next one in it.
struct Records<R> {
    name: &'static str,
    lines: Lines<R>,
    next: Option<Next>,
    count: i64,
}

struct Next {
    custom_id: String,
    is_answer: bool,
    bytes: Vec<u8>,
}

/// The lines of a file that are not blank.
struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    is_first: bool,
    /// All that was read.
    whole: FilePart,
}

/// Verifies files on disk. A file that is not named is one that does not exist, which is right when it would be empty.
pub(crate) fn verify_files(
    input: &Path,
    output: Option<&Path>,
    error: Option<&Path>,
    audit: Option<&BatchAudit>,
) -> anyhow::Result<Verified> {
    let open = |path: Option<&Path>| -> anyhow::Result<Box<dyn BufRead>> {
        let Some(path) = path else { return Ok(Box::new(std::io::empty())) };
        let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
    };
    verify(open(Some(input))?, open(output)?, open(error)?, audit)
}

fn verify(
    input: impl BufRead,
    output: impl BufRead,
    error: impl BufRead,
    audit: Option<&BatchAudit>,
) -> anyhow::Result<Verified> {
    let mut input = Lines::new(input);
    let mut output = Records::new("output file", output)?;
    let mut error = Records::new("error file", error)?;
    let mut ledger = Ledger::new(audit);
    let mut lines = 0;
    while let Some(line) = input.next()? {
        lines += 1;
        let named: Named<'_> =
            serde_json::from_slice(line).with_context(|| format!("line {lines} of the input has no custom_id"))?;
        let (answered, refused) = (output.is_next(&named.custom_id), error.is_next(&named.custom_id));
        let id = &named.custom_id;
        ensure!(!(answered && refused), "line {lines} (custom_id {id:?}) has a record in both files");
        if answered {
            ledger.take(&output.take(true, lines)?, &[]);
        } else if refused {
            ledger.take(&[], &error.take(false, lines)?);
        } else {
            bail!(
                "line {lines} (custom_id {id:?}) has no record where it should be: next in the output file is {}, in the error file {}",
                output.shown(),
                error.shown()
            );
        }
        ledger.end_of_line(lines)?;
    }
    output.require_end()?;
    error.require_end()?;
    if let Some(audit) = audit {
        judge_totals(audit, lines, &output, &error)?;
        judge_file("input", audit.input.as_ref(), &input.whole)?;
        judge_file("output", audit.output.as_ref(), &output.lines.whole)?;
        judge_file("error", audit.error.as_ref(), &error.lines.whole)?;
    }
    Ok(Verified { lines, output: output.count, error: error.count })
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), is_first: true, whole: FilePart::default() }
    }

    /// The next line without its ending; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        loop {
            self.buffer.clear();
            let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            ensure!((read as u64) < MAX_LINE_BYTES, "a line is longer than {MAX_LINE_BYTES} bytes");
            self.whole.append(&self.buffer);
            let mark = if std::mem::take(&mut self.is_first) && self.buffer.starts_with(BYTE_ORDER_MARK) {
                BYTE_ORDER_MARK.len()
            } else {
                0
            };
            if wire::jsonl::lines(&self.buffer[mark..]).next().is_some() {
                return Ok(wire::jsonl::lines(&self.buffer[mark..]).next());
            }
        }
    }
}

impl<R: BufRead> Records<R> {
    fn new(name: &'static str, reader: R) -> anyhow::Result<Self> {
        let mut records = Self { name, lines: Lines::new(reader), next: None, count: 0 };
        records.advance()?;
        Ok(records)
    }

    fn advance(&mut self) -> anyhow::Result<()> {
        let (name, at) = (self.name, self.count + 1);
        self.next = match self.lines.next()? {
            None => None,
            Some(line) => {
                let record: Record<'_> = serde_json::from_slice(line)
                    .with_context(|| format!("record {at} of the {name} is not one of a batch"))?;
                let succeeded = record.response.is_some_and(|answer| (200..300).contains(&answer.status_code));
                let is_answer = succeeded && record.error.is_none_or(|error| error.get() == "null");
                let custom_id = record.custom_id.into_owned();
                Some(Next { custom_id, is_answer, bytes: self.lines.buffer.clone() })
            }
        };
        Ok(())
    }

    fn is_next(&self, custom_id: &str) -> bool {
        self.next.as_ref().is_some_and(|next| next.custom_id == custom_id)
    }

    /// The bytes of the next record, which must be an answer, or must not.
    fn take(&mut self, is_answer: bool, line: i64) -> anyhow::Result<Vec<u8>> {
        let next = self.next.take().with_context(|| format!("the {} ended", self.name))?;
        ensure!(next.is_answer == is_answer, "the record of line {line} does not belong into the {}", self.name);
        self.count += 1;
        self.advance()?;
        Ok(next.bytes)
    }

    fn shown(&self) -> String {
        self.next.as_ref().map_or("its end".to_owned(), |next| format!("{:?}", next.custom_id))
    }

    fn require_end(&self) -> anyhow::Result<()> {
        match &self.next {
            None => Ok(()),
            Some(next) => {
                bail!("the {} has a record that no line asked for, of custom_id {:?}", self.name, next.custom_id)
            }
        }
    }
}

/// Holds the records of consecutive lines against the checksums that the audit has of them.
struct Ledger<'a> {
    /// By their last line.
    runs: BTreeMap<i64, &'a AuditRun>,
    output: FilePart,
    error: FilePart,
}

impl<'a> Ledger<'a> {
    fn new(audit: Option<&'a BatchAudit>) -> Self {
        let runs =
            audit.into_iter().flat_map(|audit| audit.shards.iter().map(|shard| &shard.run).chain(&audit.unplanned));
        let runs = runs.map(|run| (run.last_line, run)).collect();
        Self { runs, output: FilePart::default(), error: FilePart::default() }
    }

    fn take(&mut self, output: &[u8], error: &[u8]) {
        self.output.append(output);
        self.error.append(error);
    }

    fn end_of_line(&mut self, line: i64) -> anyhow::Result<()> {
        let Some(run) = self.runs.get(&line) else { return Ok(()) };
        for (name, part, range) in [("output", &mut self.output, &run.output), ("error", &mut self.error, &run.error)] {
            let found = AuditRange { start: part.start, bytes: part.bytes, crc32c: hex_crc32c(part.crc32c) };
            if let Some(range) = range {
                ensure!(
                    *range == found,
                    "the records of lines {} to {} in the {name} file are not those of the audit: {found:?}, not {range:?}",
                    run.first_line,
                    run.last_line
                );
            }
            *part = part.next();
        }
        Ok(())
    }
}

fn judge_totals<R: BufRead, S: BufRead>(
    audit: &BatchAudit,
    lines: i64,
    output: &Records<R>,
    error: &Records<S>,
) -> anyhow::Result<()> {
    let totals = &audit.totals;
    let refused = totals.failed + totals.cancelled + totals.expired;
    ensure!(
        (totals.lines, totals.completed, refused) == (lines, output.count, error.count),
        "the audit has {} lines, {} in the output file and {refused} in the error file; the files have {lines}, {} and {}",
        totals.lines,
        totals.completed,
        output.count,
        error.count
    );
    Ok(())
}

fn judge_file(name: &str, audit: Option<&AuditFile>, found: &FilePart) -> anyhow::Result<()> {
    let Some(recorded) = audit else {
        ensure!(found.bytes == 0, "the audit knows of no {name} file");
        return Ok(());
    };
    let crc32c = hex_crc32c(found.crc32c);
    ensure!(
        recorded.bytes == found.bytes && recorded.crc32c.as_ref().is_none_or(|recorded| *recorded == crc32c),
        "the {name} file has {} bytes and the checksum {crc32c}; the audit has {} and {}",
        found.bytes,
        recorded.bytes,
        recorded.crc32c.as_deref().unwrap_or("none")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = "\u{feff}{\"custom_id\":\"a\"}\r\n\n{\"custom_id\":\"b\"}\n{\"custom_id\":\"c\"}";

    fn answer(id: &str, status: u16) -> String {
        format!(
            "{{\"id\":\"x\",\"custom_id\":\"{id}\",\"response\":{{\"status_code\":{status},\"request_id\":\"r\",\"body\":{{}}}},\"error\":null}}\n"
        )
    }

    fn judge(output: &str, error: &str) -> anyhow::Result<Verified> {
        verify(INPUT.as_bytes(), output.as_bytes(), error.as_bytes(), None)
    }

    #[test]
    fn a_record_for_each_line_is_right() {
        let expired = "{\"id\":\"x\",\"custom_id\":\"c\",\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":\"m\"}}\n";

        let found = judge(&answer("a", 200), &(answer("b", 400) + expired)).unwrap();

        assert_eq!(found, Verified { lines: 3, output: 1, error: 2 });
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let all = answer("a", 200) + &answer("b", 200) + &answer("c", 200);
        for (output, error, told) in [
            (answer("a", 200) + &answer("c", 200), String::new(), "line 2 (custom_id \"b\") has no record"),
            (answer("a", 200) + &answer("c", 200) + &answer("b", 200), String::new(), "line 2"),
            (all.clone(), answer("a", 400), "in both files"),
            (all.clone(), answer("z", 400), "no line asked for"),
            (all.clone() + &answer("c", 200), String::new(), "no line asked for"),
            (
                answer("a", 500) + &answer("b", 200) + &answer("c", 200),
                String::new(),
                "does not belong into the output",
            ),
            (answer("a", 200) + &answer("b", 200), answer("c", 200), "does not belong into the error"),
            (all + "{}\n", String::new(), "record 4 of the output file"),
        ] {
            let text = format!("{:#}", judge(&output, &error).unwrap_err());
            assert!(text.contains(told), "{text}");
        }
    }
}
