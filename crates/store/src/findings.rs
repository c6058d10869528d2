//! What the lines of a batch input say, put together as they come: for a whole file, or for a part of one that others are
//! joined to later.

use crate::{
    FileIndex, IngestLimits, LineIssue, LineRecord, ModelEstimate, Tally,
    line::{GoodLine, Refusal, clip, judge},
};
use bytes::BytesMut;
use std::collections::HashSet;
use wire::jsonl::{Line, TooLong};
use xxhash_rust::xxh3::xxh3_128;

/// Errors that are kept; beyond that they are only counted.
const MAX_ERRORS: usize = 100;
/// Distinct urls (and models) that are told apart; the rest is counted as [`OTHERS`].
const MAX_TALLIES: usize = 32;
/// Line numbers kept for each url and model.
const MAX_FIRST_LINES: usize = 10;
const OTHERS: &str = "(others)";

/// More than any model generates for one request: what a line asks for beyond is no estimate.
const MOST_GENERATED: u64 = 1 << 24;

/// What stands for the `custom_id` of a line that has none.
pub(crate) const NAMELESS: u128 = 0;

#[derive(Debug)]
pub(crate) struct Findings {
    limits: IngestLimits,
    pub(crate) found: FileIndex,
    names: Names,
    /// What goes into the index next.
    pub(crate) records: BytesMut,
}

/// What becomes of the hash of each `custom_id`.
#[derive(Debug)]
enum Names {
    /// It must be a new one.
    Seen(HashSet<u128>),
    /// It is written behind the record of its line, for whoever joins the parts.
    Written,
}

impl Findings {
    /// Of a whole file, whose index is at `blob`.
    pub(crate) fn new(blob: String, limits: IngestLimits) -> Self {
        let found = FileIndex { blob, ..FileIndex::default() };
        Self { limits, found, names: Names::Seen(HashSet::new()), records: BytesMut::new() }
    }

    /// Of a part of a file: whether a name repeats, and whether there are too many lines, is not judged yet.
    pub(crate) fn of_part(limits: IngestLimits) -> Self {
        Self { names: Names::Written, ..Self::new(String::new(), limits) }
    }

    pub(crate) fn take(&mut self, line: Result<Line<'_>, TooLong>) {
        self.found.lines += 1;
        if self.found.lines > self.limits.max_lines {
            return self.take_surplus();
        }
        match line {
            Ok(line) => self.take_line(line),
            Err(long) => {
                self.record(LineRecord { offset: long.offset, len: 0, tokens: 0 }, NAMELESS);
                let message = format!("This line is longer than {} bytes.", self.limits.max_line_bytes);
                self.refuse(long.number, Refusal { code: "invalid_request", message, param: None });
            }
        }
    }

    fn take_line(&mut self, line: Line<'_>) {
        let judged = judge(line.bytes);
        let prompt = u64::from(line.len / 4);
        let generated = judged.as_ref().map_or(0, |good| good.max_tokens.unwrap_or(0).min(MOST_GENERATED));
        let name = judged.as_ref().map_or(NAMELESS, |good| xxh3_128(good.custom_id.as_bytes()));
        let tokens = u32::try_from(prompt + generated).unwrap_or(u32::MAX);
        self.found.tokens = self.found.tokens.saturating_add(prompt + generated);
        self.record(LineRecord { offset: line.offset, len: line.len, tokens }, name);
        match judged {
            Ok(good) => {
                self.estimate(&good, prompt, generated);
                self.take_good(line.number, &good, name);
            }
            Err(refusal) => self.refuse(line.number, refusal),
        }
    }

    fn take_good(&mut self, number: u64, good: &GoodLine<'_>, name: u128) {
        tally(&mut self.found.urls, &good.url, number);
        tally(&mut self.found.models, &good.model, number);
        if !self.is_new(name) {
            self.refuse(number, repeated(&good.custom_id));
        }
    }

    /// Whether no earlier line has this name.
    pub(crate) fn is_new(&mut self, name: u128) -> bool {
        match &mut self.names {
            Names::Seen(names) => name == NAMELESS || names.insert(name),
            Names::Written => true,
        }
    }

    fn estimate(&mut self, good: &GoodLine<'_>, prompt: u64, generated: u64) {
        let one = ModelEstimate {
            model: String::new(),
            lines: 1,
            prompt_tokens: prompt,
            output_tokens: generated,
            unbounded_lines: u64::from(good.max_tokens.is_none()),
        };
        self.add_estimate(clip(&good.model), &one);
    }

    fn add_estimate(&mut self, model: &str, more: &ModelEstimate) {
        let estimates = &mut self.found.estimates;
        let place = estimates.iter().position(|one| one.model == model);
        let model = if place.is_none() && estimates.len() >= MAX_TALLIES { OTHERS } else { model };
        let place = place.or_else(|| estimates.iter().position(|one| one.model == model)).unwrap_or_else(|| {
            estimates.push(ModelEstimate { model: model.to_owned(), ..ModelEstimate::default() });
            estimates.len() - 1
        });
        let one = &mut estimates[place];
        one.lines += more.lines;
        one.prompt_tokens = one.prompt_tokens.saturating_add(more.prompt_tokens);
        one.output_tokens = one.output_tokens.saturating_add(more.output_tokens);
        one.unbounded_lines += more.unbounded_lines;
    }

    /// Takes in the lines within a part, whose numbers count from `before` lines on. Their records, and the names that
    /// `repeated`, are for the caller to look at.
    pub(crate) fn join(&mut self, part: &FileIndex, before: u64, repeated: Vec<LineIssue>) {
        let had = self.found.lines;
        self.found.lines += part.lines;
        self.found.tokens = self.found.tokens.saturating_add(part.tokens);
        part.estimates.iter().for_each(|estimate| self.add_estimate(&estimate.model, estimate));
        for (ours, theirs) in [(&mut self.found.urls, &part.urls), (&mut self.found.models, &part.models)] {
            for one in theirs {
                add_tally(ours, &one.value, one.count, one.first_lines.iter().map(|line| line + before));
            }
        }
        let shifted = part.errors.iter().map(|issue| LineIssue { line: issue.line + before, ..issue.clone() });
        let mut issues: Vec<_> = shifted.chain(repeated).collect();
        issues.sort_by_key(|issue| issue.line);
        self.found.error_count += part.error_count.saturating_sub(part.errors.len() as u64);
        issues.into_iter().for_each(|issue| self.push(issue));
        if had <= self.limits.max_lines && self.found.lines > self.limits.max_lines {
            self.refuse_surplus();
        }
    }

    /// How many more lines get a record.
    pub(crate) fn room(&self) -> u64 {
        self.limits.max_lines.saturating_sub(self.found.lines)
    }

    /// A line beyond the limit costs neither memory nor an index record; the first one is the mistake.
    fn take_surplus(&mut self) {
        if self.found.lines == self.limits.max_lines + 1 && matches!(self.names, Names::Seen(_)) {
            self.refuse_surplus();
        }
    }

    fn refuse_surplus(&mut self) {
        let message =
            format!("This file has more than {} lines. Split it into several batches.", self.limits.max_lines);
        self.refuse(0, Refusal { code: "too_many_tasks", message, param: None });
    }

    fn record(&mut self, record: LineRecord, name: u128) {
        self.records.extend_from_slice(&record.to_bytes());
        if matches!(self.names, Names::Written) {
            self.records.extend_from_slice(&name.to_le_bytes());
        }
    }

    fn refuse(&mut self, line: u64, refusal: Refusal) {
        self.push(refusal.at(line));
    }

    fn push(&mut self, issue: LineIssue) {
        self.found.error_count += 1;
        if self.found.errors.len() < MAX_ERRORS {
            self.found.errors.push(issue);
        }
    }

    pub(crate) fn end(mut self) -> FileIndex {
        if self.found.lines == 0 {
            let message = "This file has no requests in it.".to_owned();
            self.refuse(0, Refusal { code: "empty_file", message, param: None });
        }
        self.found
    }
}

/// What is wrong with a line whose name an earlier one has.
pub(crate) fn repeated(custom_id: &str) -> Refusal {
    let message = format!("The custom_id '{}' occurs in an earlier line.", clip(custom_id));
    Refusal { code: "duplicate_custom_id", message, param: Some("custom_id") }
}

impl Refusal {
    /// As the mistake of a line.
    pub(crate) fn at(self, line: u64) -> LineIssue {
        let Self { code, message, param } = self;
        LineIssue { code: code.to_owned(), message, line, param: param.map(str::to_owned) }
    }
}

fn tally(tallies: &mut Vec<Tally>, value: &str, line: u64) {
    add_tally(tallies, clip(value), 1, [line]);
}

fn add_tally(tallies: &mut Vec<Tally>, value: &str, count: u64, lines: impl IntoIterator<Item = u64>) {
    let is_known = tallies.iter().any(|tally| tally.value == value);
    let value = if is_known || tallies.len() < MAX_TALLIES { value } else { OTHERS };
    let place = tallies.iter().position(|tally| tally.value == value).unwrap_or_else(|| {
        tallies.push(Tally { value: value.to_owned(), count: 0, first_lines: Vec::new() });
        tallies.len() - 1
    });
    let tally = &mut tallies[place];
    tally.count += count;
    let room = MAX_FIRST_LINES.saturating_sub(tally.first_lines.len());
    tally.first_lines.extend(lines.into_iter().take(room));
}
