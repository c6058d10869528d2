//! The command line: every command, flag and help text.

use crate::{
    batch::terms::{Terms, time},
    usage::{Column, NameMap, Tolerance},
    webhooks::WebhooksAction,
};
use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{judge_name, judge_note};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use store::MAX_KEY_OVERLAP;

/// Tandem: one OpenAI-compatible API over your own and managed models, with batches on the same GPUs.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// Settings file; `tandem.toml` in the current folder is read when there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything in this process: API, orchestrator, worker, embedded database and queue.
    Up(UpArgs),
    /// Bring the database to this version.
    Migrate(MigrateArgs),
    /// API keys.
    Keys(KeysArgs),
    /// Batches, over the HTTP API.
    Batch(BatchArgs),
    /// Messages that could not be used, at the broker.
    Dlq(DlqArgs),
    /// Webhooks: who is told what happens to batches, over the HTTP API.
    Webhooks(WebhooksArgs),
    /// What was used and what it cost, over the HTTP API.
    Usage(UsageArgs),
    /// Measure what the gateway adds: the same load through it and directly to the model server.
    Bench(BenchArgs),
    /// Check settings, database, blobs and model servers, and say what to do.
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// An OpenAI-compatible server, such as http://127.0.0.1:8000/v1. Its models are served under their own names.
    #[arg(long, env = "TANDEM_UPSTREAM", value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// The environment variable that holds the key of that server.
    #[arg(long, default_value = "OPENAI_API_KEY", value_name = "NAME")]
    pub(crate) upstream_key_env: String,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    pub(crate) action: MigrateAction,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum MigrateAction {
    /// List the migrations and when each was applied.
    Status,
    /// Apply what is missing; safe to run from many places at once.
    Up,
}

#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    /// Whose dead letters.
    #[arg(long, value_enum, default_value_t = DlqQueue::Submissions, global = true)]
    pub(crate) queue: DlqQueue,
    /// How many to look at, the oldest first.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", global = true)]
    pub(crate) most: usize,
    #[command(subcommand)]
    pub(crate) action: DlqAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DlqQueue {
    /// Messages that were no jobs.
    Submissions,
    /// Messages that were no pointers.
    Doorbell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqAction {
    /// A line each: id, length, reason.
    List,
    /// One message as it came, and on standard error the reason.
    Show {
        /// As `list` shows it.
        id: String,
    },
    /// Back to the queue, to be tried again.
    Redrive(DlqChoice),
    /// Throw them away.
    Drop(DlqChoice),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DlqChoice {
    /// As `list` shows them.
    pub(crate) ids: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key; its secret is shown once.
    Create {
        /// What the key is for.
        #[arg(value_parser = name)]
        name: String,
        /// The tenant it acts for; made when it does not exist.
        #[arg(long, default_value = "default", value_parser = name)]
        tenant: String,
        /// Let it do everything, the admin API included.
        #[arg(long, conflicts_with = "scopes")]
        admin: bool,
        /// What it may do: words of inference, files, batches, usage, admin; all but admin when nothing is said.
        #[arg(long, value_delimiter = ',', value_name = "SCOPE,...")]
        scopes: Vec<String>,
        /// The models that it may ask; every model when nothing is said.
        #[arg(long, value_delimiter = ',', value_parser = name, value_name = "MODEL,...")]
        models: Vec<String>,
        /// How long it works, as 30d; without end when nothing is said.
        #[arg(long, value_parser = expiry, value_name = "SPAN")]
        expires: Option<Duration>,
        /// What its operators want to remember.
        #[arg(long, default_value = "", value_parser = note)]
        note: String,
    },
    /// List the keys, newest first, without their secrets.
    List {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Give a key another secret, which is shown once. Its id, scopes and limits stay.
    Rotate {
        /// The key's id, as `list` shows it.
        id: String,
        /// How long the secret before works too, as 24h; at most 30d.
        #[arg(long, value_parser = overlap, default_value = "24h", value_name = "SPAN")]
        overlap: Duration,
    },
    /// Refuse a key and all its secrets from now on.
    Revoke {
        /// The key's id, as `list` shows it.
        id: String,
    },
}

/// Where the API is and who asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// Base URL of the API.
    #[arg(long, env = "TANDEM_URL", default_value = "http://127.0.0.1:8080", value_name = "URL", global = true)]
    pub(crate) url: String,
    /// API key.
    #[arg(long, env = "TANDEM_API_KEY", hide_env_values = true, default_value = "", value_name = "KEY", global = true)]
    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) action: BatchAction,
}

/// What a batch is made of.
#[derive(Debug, Args)]
pub(crate) struct BatchInput {
    /// The input, one request a line.
    pub(crate) file: PathBuf,
    /// The API every line calls.
    #[arg(long, default_value = "/v1/chat/completions")]
    pub(crate) endpoint: String,
    /// How long the batch may take: 1h to 7d.
    #[arg(long, default_value = "24h")]
    pub(crate) window: String,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BatchAction {
    /// Upload a JSONL file and start a batch.
    Submit {
        #[command(flatten)]
        input: BatchInput,
        /// Ask identical deterministic lines of a shard once.
        #[arg(long)]
        dedup: bool,
        /// Stay until it ends.
        #[arg(long)]
        watch: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Upload a JSONL file and say what a batch of it would take, without making one.
    Quote {
        #[command(flatten)]
        input: BatchInput,
    },
    /// Change a batch that runs.
    Set {
        /// Batch id.
        id: String,
        #[command(flatten)]
        terms: Terms,
        /// Another deadline: RFC 3339 or Unix seconds.
        #[arg(long, value_parser = time, value_name = "TIME")]
        deadline: Option<Value>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let no more lines of a batch begin; those in flight finish.
    Pause {
        /// Batch id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Go on with a paused batch.
    Resume {
        /// Batch id.
        id: String,
        /// Move its deadline by as long as the pause was.
        #[arg(long)]
        extend_deadline: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a batch.
    Get {
        /// Batch id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List batches, newest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
        limit: u8,
        /// Begin after the batch of this id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print JSON, one batch a line.
        #[arg(long)]
        json: bool,
    },
    /// Print the records that a batch has now, also while it runs, in input order and each with its line number.
    Results {
        /// Batch id.
        id: String,
        /// The last line you have.
        #[arg(long, default_value_t = 0, value_name = "LINE")]
        after_line: u64,
    },
    /// Print what became of the lines of a batch, shard by shard, with checksums.
    Audit {
        /// Batch id.
        id: String,
    },
    /// Prove from the files alone that every input line has exactly one record, in input order; needs no server.
    Verify {
        /// What was submitted.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// The output file; leave it out when the batch has none.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The error file; leave it out when the batch has none.
        #[arg(long, value_name = "FILE")]
        errors: Option<PathBuf>,
        /// What `tandem batch audit` printed: counts and checksums are held against it too.
        #[arg(long, value_name = "FILE")]
        audit: Option<PathBuf>,
    },
    /// Ask lines of an ended batch again that were not answered, as a new batch.
    Redrive {
        /// Batch id.
        id: String,
        /// Which: words of failed, expired, cancelled, quarantined.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "failed,expired,cancelled,quarantined",
            value_name = "WORD,..."
        )]
        lines: Vec<String>,
        /// How long the new batch may take: 1h to 7d; as long as the first one when nothing is said.
        #[arg(long)]
        window: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Follow a batch to its end.
    Watch {
        /// Batch id.
        id: String,
        /// Print the final object as JSON and no progress bar.
        #[arg(long)]
        json: bool,
    },
    /// Cancel a batch.
    Cancel {
        /// Batch id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the output of a batch to a file, and its errors beside it.
    Download {
        /// Batch id.
        id: String,
        /// Output path; errors go to the same name with `.errors` appended.
        #[arg(long, short)]
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) action: WebhooksAction,
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(subcommand)]
    pub(crate) action: Option<UsageAction>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The beginning: a day of UTC, RFC 3339 or Unix seconds; the first of this month when nothing is said.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// The end, which does not belong to it; now when nothing is said.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// What it is divided by: words of day, tenant, key, principal, model, deployment, class.
    #[arg(long, value_delimiter = ',', default_value = "model", value_name = "WORD,...")]
    pub(crate) by: Vec<String>,
    /// Of this model only.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Of every tenant; the key needs the scope admin.
    #[arg(long)]
    pub(crate) all_tenants: bool,
    /// Of the tenant with this id; the key needs the scope admin.
    #[arg(long, value_name = "ID", conflicts_with = "all_tenants")]
    pub(crate) tenant: Option<String>,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsageAction {
    /// Compare the ledger with a provider's bill, by model and day.
    ///
    /// The exit code is 1 when they differ. The key needs the scope admin, as a bill is of all tenants. docs/limits.md has the shape
    /// of the bill.
    Reconcile(ReconcileArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// The bill: CSV with the columns day, model, cost_usd, and input_tokens and output_tokens if it has them; exports of OpenAI,
    /// Anthropic and Google Cloud are understood as they are.
    #[arg(long, value_name = "FILE")]
    pub(crate) invoice: PathBuf,
    /// How much a day of a model may differ from the bill, in percent of the bill.
    #[arg(long, default_value = "1%", value_name = "PERCENT")]
    pub(crate) tolerance: Tolerance,
    /// Differences of cost up to so many US dollars don't count: bills are rounded.
    #[arg(long, default_value = "0.01", value_name = "USD")]
    pub(crate) ignore_below: String,
    /// What a model of the bill is called here: a deployment, else a model. May be given many times.
    #[arg(long = "map", value_name = "THEIRS=OURS")]
    pub(crate) maps: Vec<NameMap>,
    /// Look at the models of the bill that --map names, and at no others.
    #[arg(long, requires = "maps")]
    pub(crate) only_mapped: bool,
    /// How the bill calls a column: day=..., model=..., cost_usd=..., input_tokens=... or output_tokens=...
    #[arg(long = "column", value_name = "OURS=THEIRS")]
    pub(crate) columns: Vec<Column>,
    /// The first day that is compared; the first of the bill when nothing is said.
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<NaiveDate>,
    /// The last day that is compared; the last of the bill when nothing is said.
    #[arg(long, value_name = "DAY")]
    pub(crate) through: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Requests per leg.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) requests: usize,
    /// Requests at a time.
    #[arg(long, default_value_t = 32)]
    pub(crate) concurrency: usize,
    /// Interleaved rounds; the median of the rounds is printed.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
}

fn name(text: &str) -> Result<String, String> {
    judge_name(text).map(|()| text.to_owned())
}

fn note(text: &str) -> Result<String, String> {
    judge_note(text).map(|()| text.to_owned())
}

fn expiry(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 12h or 30d"))?;
    if span.is_zero() { Err("the key would never work; write a span as 12h or 30d".to_owned()) } else { Ok(span) }
}

fn overlap(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 24h"))?;
    if span > MAX_KEY_OVERLAP { Err("it is at most 30d".to_owned()) } else { Ok(span) }
}
