//! A provider's bill: a CSV file, bounded, whose columns may be called as OpenAI, Anthropic and Google call them.

use super::{
    options::{Column, Field},
    report::printable,
};
use anyhow::{Context, anyhow, bail, ensure};
use chrono::{DateTime, NaiveDate};
use csv::{ReaderBuilder, StringRecord, Trim};
use domain::Money;
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

const MAX_BYTES: u64 = 64 << 20;
const MAX_LINES: usize = 1_000_000;
/// Days of models: a report of the ledger has no more rows.
const MAX_CELLS: usize = 10_000;
/// Some bills begin with lines about the account.
const MAX_PREAMBLE: usize = 50;
const MAX_NAME: usize = 256;

/// What a bill says of a model and a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Billed {
    pub(super) cost: Money,
    /// Input and output; none where the bill does not count them.
    pub(super) tokens: Option<(i64, i64)>,
}

/// A bill by model and day.
pub(super) type Bill = BTreeMap<(String, NaiveDate), Billed>;

/// Reads a bill.
///
/// # Errors
/// When it can't be read, with the line that is wrong.
pub(super) fn read(path: &Path, columns: &[Column]) -> anyhow::Result<Bill> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    let bytes = file.metadata()?.len();
    ensure!(bytes <= MAX_BYTES, "{} has {bytes} bytes; a bill may have {MAX_BYTES}. Split it by month", path.display());
    parse(file.take(MAX_BYTES), columns).with_context(|| format!("{} can't be used", path.display()))
}

fn parse(text: impl Read, columns: &[Column]) -> anyhow::Result<Bill> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text);
    let mut records = reader.records();
    let header = Header::find(&mut records, columns)?;
    let mut bill = Bill::new();
    for (count, record) in records.enumerate() {
        ensure!(count < MAX_LINES, "it has more than {MAX_LINES} lines. Split it by month");
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let Some((key, billed)) = header.read(&record).with_context(|| format!("line {line}"))? else { continue };
        let sum =
            bill.entry(key).or_insert(Billed { cost: Money::ZERO, tokens: header.counts_tokens().then_some((0, 0)) });
        *sum = sum.plus(billed);
        ensure!(bill.len() <= MAX_CELLS, "it has more than {MAX_CELLS} days of models. Split it by month");
    }
    Ok(bill)
}

impl Billed {
    pub(super) fn plus(self, other: Self) -> Self {
        let tokens = self.tokens.zip(other.tokens);
        let tokens = tokens.map(|((a, b), (c, d))| (a.saturating_add(c), b.saturating_add(d)));
        Self { cost: self.cost + other.cost, tokens }
    }
}

/// Where the columns are.
struct Header {
    day: usize,
    model: usize,
    cost: usize,
    tokens: Option<(usize, usize)>,
    currency: Option<usize>,
    /// OpenAI writes the model and the kind of tokens into one column.
    is_line_item: bool,
}

/// How others call a column, the best first.
fn aliases(field: Field) -> &'static [&'static str] {
    match field {
        Field::Day => {
            &["day", "date", "usage_date_utc", "start_time_iso", "start_time", "usage start date", "usage_start_time"]
        }
        Field::Model => &["model", LINE_ITEM, "sku description", "sku_description"],
        Field::Cost => &["cost_usd", "amount_value", "unrounded cost ($)", "cost ($)", "cost"],
        Field::InputTokens => &["input_tokens", "prompt_tokens"],
        Field::OutputTokens => &["output_tokens", "completion_tokens"],
    }
}

const LINE_ITEM: &str = "line_item";
const CURRENCIES: [&str; 2] = ["currency", "amount_currency"];

impl Header {
    fn find(records: &mut impl Iterator<Item = csv::Result<StringRecord>>, columns: &[Column]) -> anyhow::Result<Self> {
        let mut first = None;
        for record in records.take(MAX_PREAMBLE) {
            let record = record?;
            if let Some(header) = Self::of(&record, columns) {
                return Ok(header);
            }
            first.get_or_insert(record);
        }
        let there =
            first.map_or_else(|| "nothing".to_owned(), |first| printable(&first.iter().collect::<Vec<_>>().join(", ")));
        bail!(
            "none of its first {MAX_PREAMBLE} lines names a day, a model and a cost. It begins with: {there}. Say how it calls \
             them: --column day=... --column model=... --column cost_usd=..."
        )
    }

    fn of(record: &StringRecord, columns: &[Column]) -> Option<Self> {
        let names: Vec<_> = record.iter().map(|name| name.trim_start_matches('\u{feff}').to_lowercase()).collect();
        let place = |name: &str| names.iter().position(|there| there == name);
        let find = |field: Field| match columns.iter().find(|column| column.field == field) {
            Some(column) => place(&column.header.to_lowercase()),
            None => aliases(field).iter().find_map(|alias| place(alias)),
        };
        let model = find(Field::Model)?;
        Some(Self {
            day: find(Field::Day)?,
            model,
            cost: find(Field::Cost)?,
            tokens: find(Field::InputTokens).zip(find(Field::OutputTokens)),
            currency: CURRENCIES.iter().find_map(|name| place(name)),
            is_line_item: names[model] == LINE_ITEM,
        })
    }

    fn counts_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// What a line says; none where it is about a day without costs.
    fn read(&self, record: &StringRecord) -> anyhow::Result<Option<((String, NaiveDate), Billed)>> {
        let text = |place: usize| record.get(place).unwrap_or_default();
        let (day, model, cost) = (text(self.day), text(self.model), text(self.cost));
        if cost.is_empty() && model.is_empty() {
            return Ok(None);
        }
        if let Some(currency) = self.currency.map(text).filter(|currency| !currency.eq_ignore_ascii_case("usd")) {
            ensure!(currency.is_empty(), "the amount is in {}; only USD can be compared", printable(currency));
        }
        let model = if self.is_line_item { model_of_line_item(model) } else { model };
        ensure!(
            !model.is_empty(),
            "there is a cost and no model. Export costs by model (OpenAI: grouped by line item)"
        );
        ensure!(model.len() <= MAX_NAME, "the name of the model is longer than {MAX_NAME} bytes");
        let cost = amount(cost).and_then(|cost| Money::about_usd(&cost));
        let cost = cost.with_context(|| format!("`{}` is no amount of US dollars", printable(text(self.cost))))?;
        let tokens = match self.tokens {
            None => None,
            Some((input, output)) => Some((count(text(input))?, count(text(output))?)),
        };
        Ok(Some(((printable(model), to_day(day)?), Billed { cost, tokens })))
    }
}

/// `gpt-4o-2024-08-06, cached input` is of gpt-4o-2024-08-06; `priority | gpt-5.6, input` of gpt-5.6. What has no comma is no model
/// and stays as it is.
fn model_of_line_item(item: &str) -> &str {
    match item.split_once(',') {
        None => item,
        Some((model, _)) => {
            let model = model.rsplit('|').next().unwrap_or(model).trim();
            model.split(' ').next().unwrap_or(model)
        }
    }
}

/// A day of UTC: as such, as a time, or in Unix seconds.
fn to_day(text: &str) -> anyhow::Result<NaiveDate> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc().date_naive());
    let day = || NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok();
    let secs = || Some(DateTime::from_timestamp(text.parse().ok()?, 0)?.date_naive());
    let read = if text.len() > 10 { time.or_else(day) } else { day().or_else(secs) };
    read.with_context(|| format!("`{}` is no day; write it as 2026-01-31", printable(text)))
}

/// Without the sign of the dollar and the commas between thousands.
fn amount(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let digits = digits.strip_prefix('$').unwrap_or(digits);
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let is_written_well = groups.clone().all(|group| group.len() == 3) && !rest.contains(',');
    is_written_well.then(|| format!("{sign}{first}{}{rest}", groups.collect::<String>()))
}

fn count(text: &str) -> anyhow::Result<i64> {
    if text.is_empty() {
        return Ok(0);
    }
    let count = amount(text).and_then(|text| text.parse().ok()).filter(|count| *count >= 0);
    count.ok_or_else(|| anyhow!("`{}` is no number of tokens", printable(text)))
}

#[cfg(test)]
mod tests;
