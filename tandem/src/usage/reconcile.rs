//! `tandem usage reconcile`: reads the bill, asks for the ledger of its days, and tells where they differ.

use super::{
    drift::{self, Allowed, Booked, Ledger},
    findings::Findings,
    invoice::{self, Bill},
    names::Names,
    report::{Report, Row, printable},
};
use crate::{api::Api, cli::ReconcileArgs, settings::Settings};
use anyhow::{Context, ensure};
use chrono::{Days, NaiveDate};
use domain::Money;
use reqwest::Method;
use std::{collections::BTreeSet, process::ExitCode};

pub(super) async fn run(
    api: &Api,
    args: &ReconcileArgs,
    load: &dyn Fn() -> anyhow::Result<Settings>,
) -> anyhow::Result<ExitCode> {
    let usd = Money::from_usd(&args.ignore_below).filter(|usd| *usd >= Money::ZERO);
    let usd =
        usd.with_context(|| format!("--ignore-below: `{}` is no amount of US dollars, as 0.01", args.ignore_below))?;
    let mut bill = invoice::read(&args.invoice, &args.columns)?;
    let (from, through) = narrow(&mut bill, args)?;
    let ledger = ledger(api, from, through).await?;
    let theirs: BTreeSet<_> = bill.keys().map(|(model, _)| model.as_str()).collect();
    let names = Names {
        maps: args.maps.clone(),
        upstreams: upstreams(load),
        places: ledger.keys().map(|(_, place)| place.clone()).collect(),
    };
    let groups = names.group(&theirs)?;
    let findings = drift::compare(&bill, &groups, &ledger, Allowed { share: args.tolerance, usd });
    let not_compared = drift::not_compared(&groups, &ledger);
    let findings = Findings { from, through, groups, findings, not_compared };
    if args.json {
        println!("{}", findings.to_json());
    } else {
        println!("{}", findings.to_table());
    }
    Ok(if findings.agree() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Leaves what is to be compared, and gives its first and last day.
fn narrow(bill: &mut Bill, args: &ReconcileArgs) -> anyhow::Result<(NaiveDate, NaiveDate)> {
    if args.only_mapped {
        bill.retain(|(model, _), _| args.maps.iter().any(|map| map.theirs == *model));
    }
    bill.retain(|(_, day), _| {
        args.from.is_none_or(|from| *day >= from) && args.through.is_none_or(|last| *day <= last)
    });
    let days = || bill.keys().map(|(_, day)| *day);
    let (first, last) = (args.from.or(days().min()), args.through.or(days().max()));
    let (first, last) = first.zip(last).with_context(|| {
        let all = if args.only_mapped { " that --map names" } else { "" };
        format!("{} has no costs of models{all} in that time", args.invoice.display())
    })?;
    ensure!(first <= last, "--through must not be before --from");
    Ok((first, last))
}

async fn ledger(api: &Api, from: NaiveDate, through: NaiveDate) -> anyhow::Result<Ledger> {
    let end = through.checked_add_days(Days::new(1)).context("the last day is too far in the future")?;
    let query = [("from", from.to_string()), ("to", end.to_string()), ("group_by", "day,model,deployment".to_owned())];
    let answer = api.send(api.request(Method::GET, "/admin/v1/usage").query(&query)).await?;
    let report: Report = answer.json().await.context("the answer is no usage report")?;
    let mut ledger = Ledger::new();
    for row in &report.data {
        let place = (printable(row.of("model")), printable(row.of("deployment")));
        let sum = ledger.entry((day(row)?, place)).or_default();
        *sum = sum.plus(booked(row));
    }
    Ok(ledger)
}

fn day(row: &Row) -> anyhow::Result<NaiveDate> {
    row.of("day").parse().with_context(|| format!("the report has no day `{}`", row.of("day")))
}

fn booked(row: &Row) -> Booked {
    let tokens = (row.input_tokens, row.output_tokens);
    Booked { requests: row.requests, unpriced: row.unpriced_requests, cost: row.cost(), tokens }
}

/// What providers call the deployments of the catalog, where one is at hand. Its keys may be elsewhere: names are not worth failing for.
fn upstreams(load: &dyn Fn() -> anyhow::Result<Settings>) -> Vec<(String, String)> {
    catalog(load).unwrap_or_else(|error| {
        eprintln!("tandem: names are matched without the catalog: {error:#}");
        Vec::new()
    })
}

fn catalog(load: &dyn Fn() -> anyhow::Result<Settings>) -> anyhow::Result<Vec<(String, String)>> {
    let settings = load()?;
    if !settings.models.file.exists() {
        return Ok(Vec::new());
    }
    let models = orchestrator::read_catalog(&settings.models)?.models;
    let deployments = models.into_iter().flat_map(|model| model.deployments);
    Ok(deployments.map(|deployment| (deployment.upstream_model, deployment.name)).collect())
}
