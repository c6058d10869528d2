//! `tandem webhooks`: make, list, try and delete webhooks, and see what was sent, through the public API.

use crate::{api::Api, cli::WebhooksArgs};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

/// What is asked of the API; nothing of it is judged here.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksAction {
    /// List webhooks, newest first.
    List {
        /// Print JSON, one webhook a line.
        #[arg(long)]
        json: bool,
    },
    /// Make a webhook; its secret is shown once.
    Create {
        /// Where events go: an https URL.
        #[arg(value_name = "URL")]
        receiver: String,
        /// Which events it wants.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "batch.completed,batch.failed,batch.expired,batch.cancelled",
            value_name = "EVENT,..."
        )]
        events: Vec<String>,
        /// What you want to remember.
        #[arg(long, default_value = "")]
        description: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a webhook another secret, which is shown once.
    RotateSecret {
        /// Webhook id.
        id: String,
        /// For how long the secret before it signs along, in seconds; at most 604800, which is 7 days.
        #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
        grace_secs: u64,
    },
    /// Let a webhook have events again.
    Enable {
        /// Webhook id.
        id: String,
    },
    /// Let a webhook have no events.
    Disable {
        /// Webhook id.
        id: String,
    },
    /// Delete a webhook and the log of what was sent to it.
    Delete {
        /// Webhook id.
        id: String,
    },
    /// Send a test event to a webhook.
    Test {
        /// Webhook id.
        id: String,
    },
    /// List what was sent to a webhook and is still to be, newest first, with each attempt.
    Deliveries {
        /// Webhook id.
        id: String,
        /// Only those that are pending, delivered or failed.
        #[arg(long)]
        status: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
        limit: u8,
        /// Begin after the delivery of this id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print JSON, one delivery a line.
        #[arg(long)]
        json: bool,
    },
    /// Send a delivery again, or now if it is still to be sent.
    Replay {
        /// Webhook id.
        id: String,
        /// Delivery id.
        delivery: String,
    },
}

pub(crate) async fn run(args: WebhooksArgs) -> anyhow::Result<()> {
    let api = Api::new(&args.api)?;
    match args.action {
        WebhooksAction::List { json } => list(&api, json).await?,
        WebhooksAction::Create { receiver, events, description, json } => {
            let body = json!({"url": receiver, "events": events, "description": description});
            let webhook = api.json(api.request(Method::POST, "/v1/webhooks").json(&body)).await?;
            if json { println!("{webhook}") } else { print_secret(&webhook) }
        }
        WebhooksAction::RotateSecret { id, grace_secs } => {
            let request = api.request(Method::POST, &path(&id, "/rotate_secret"));
            print_secret(&api.json(request.json(&json!({"grace_secs": grace_secs}))).await?);
        }
        WebhooksAction::Enable { id } => set_enabled(&api, &id, true).await?,
        WebhooksAction::Disable { id } => set_enabled(&api, &id, false).await?,
        WebhooksAction::Delete { id } => {
            api.json(api.request(Method::DELETE, &path(&id, ""))).await?;
            println!("{id} is deleted.");
        }
        WebhooksAction::Test { id } => {
            print_delivery(&api.json(api.request(Method::POST, &path(&id, "/test"))).await?);
        }
        WebhooksAction::Deliveries { id, status, limit, after, json } => {
            let query = [("status", status), ("limit", Some(limit.to_string())), ("after", after)];
            let page = api.json(api.request(Method::GET, &path(&id, "/deliveries")).query(&query)).await?;
            let print = if json { print_json } else { print_delivery };
            page["data"].as_array().into_iter().flatten().for_each(print);
        }
        WebhooksAction::Replay { id, delivery } => {
            let rest = format!("/deliveries/{delivery}/replay");
            print_delivery(&api.json(api.request(Method::POST, &path(&id, &rest))).await?);
        }
    }
    Ok(())
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/webhooks/{id}{rest}")
}

async fn list(api: &Api, json: bool) -> anyhow::Result<()> {
    let mut after: Option<String> = None;
    loop {
        let query = [("limit", Some("100".to_owned())), ("after", after)];
        let page = api.json(api.request(Method::GET, "/v1/webhooks").query(&query)).await?;
        page["data"].as_array().into_iter().flatten().for_each(if json { print_json } else { print_webhook });
        after = page["last_id"].as_str().map(str::to_owned);
        if page["has_more"] != true {
            return Ok(());
        }
    }
}

async fn set_enabled(api: &Api, id: &str, enabled: bool) -> anyhow::Result<()> {
    let request = api.request(Method::PATCH, &path(id, "")).json(&json!({"enabled": enabled}));
    print_webhook(&api.json(request).await?);
    Ok(())
}

fn print_json(value: &Value) {
    println!("{value}");
}

fn print_secret(webhook: &Value) {
    println!("{}\n{}", text(webhook, "id"), text(webhook, "secret"));
    println!("This secret is shown once. Verify events with it.");
}

fn print_webhook(webhook: &Value) {
    let state = match (webhook["enabled"].as_bool(), webhook["disabled_reason"].as_str()) {
        (Some(true), _) if !webhook["failing_since"].is_null() => "failing".to_owned(),
        (Some(true), _) => "enabled".to_owned(),
        (_, Some(reason)) => format!("disabled ({reason})"),
        _ => "disabled".to_owned(),
    };
    let events: Vec<_> = webhook["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (id, url, description) = (text(webhook, "id"), text(webhook, "url"), text(webhook, "description"));
    println!("{id}  {state}  {url}  {}  {description}", events.join(","));
}

fn print_delivery(delivery: &Value) {
    let (id, status, kind) = (text(delivery, "id"), text(delivery, "status"), text(delivery, "type"));
    println!("{id}  {status}  {kind}  {}", text(&delivery["payload"]["data"], "id"));
    for attempt in delivery["attempts"].as_array().into_iter().flatten() {
        let status = attempt["status_code"].as_i64().map_or_else(String::new, |code| format!(" {code}"));
        let detail = text(attempt, "detail").lines().next().unwrap_or_default();
        println!("  {}{status} after {} ms  {detail}", text(attempt, "outcome"), attempt["took_ms"]);
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
