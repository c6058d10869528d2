//! `tandem usage`: reports of the ledger, and their comparison with a provider's bill, through the API.

mod drift;
mod findings;
mod invoice;
mod names;
mod options;
mod reconcile;
mod report;

pub(crate) use options::{Column, NameMap, Tolerance};

use crate::{
    api::Api,
    cli::{ReportArgs, UsageAction, UsageArgs},
    settings::Settings,
};
use anyhow::{Context, ensure};
use reqwest::Method;
use std::{io::Write, process::ExitCode};

pub(crate) async fn run(args: UsageArgs, load: &dyn Fn() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api)?;
    match args.action {
        None => show(&api, &args.report).await,
        Some(UsageAction::Reconcile(reconcile)) => {
            ensure!(
                !is_asked(&args.report),
                "flags of `tandem usage` don't go with reconcile; its own come after the word"
            );
            reconcile::run(&api, &reconcile, load).await
        }
    }
}

async fn show(api: &Api, args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let response = api.send(api.request(Method::GET, path(args)).query(&query(args))).await?;
    let body = response.bytes().await.context("the report was cut")?;
    if args.csv || args.json {
        let mut out = std::io::stdout().lock();
        out.write_all(&body)?;
        if args.json {
            writeln!(out)?;
        }
    } else {
        let report: report::Report = serde_json::from_slice(&body).context("the answer is no usage report")?;
        println!("{}", report.to_table());
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether anything was said about a report.
fn is_asked(args: &ReportArgs) -> bool {
    let ReportArgs { from, to, by, model, all_tenants, tenant, csv, json } = args;
    let texts = [from, to, model, tenant];
    *by != ["model"] || *all_tenants || *csv || *json || texts.into_iter().any(Option::is_some)
}

fn path(args: &ReportArgs) -> &'static str {
    if args.all_tenants || args.tenant.is_some() { "/admin/v1/usage" } else { "/v1/usage" }
}

fn query(args: &ReportArgs) -> Vec<(&'static str, &str)> {
    let given = [("from", &args.from), ("to", &args.to), ("model", &args.model), ("tenant_id", &args.tenant)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let by = args.by.iter().map(|word| ("group_by", word.as_str()));
    given.chain(by).chain([("format", if args.csv { "csv" } else { "json" })]).collect()
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command, UsageArgs};
    use clap::Parser;

    fn parse(line: &str) -> Result<UsageArgs, clap::Error> {
        let cli = Cli::try_parse_from(line.split(' '))?;
        match cli.command {
            Command::Usage(args) => Ok(args),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn a_report_of_others_goes_to_the_admin_api() {
        let own = parse("tandem usage --by day,model --from 2026-01-01").unwrap().report;
        let theirs = parse("tandem usage --tenant tenant_a --csv").unwrap().report;

        assert_eq!(super::path(&own), "/v1/usage");
        let asked = [("from", "2026-01-01"), ("group_by", "day"), ("group_by", "model"), ("format", "json")];
        assert_eq!(super::query(&own), asked);
        assert_eq!(super::path(&theirs), "/admin/v1/usage");
        let asked = [("tenant_id", "tenant_a"), ("group_by", "model"), ("format", "csv")];
        assert_eq!(super::query(&theirs), asked);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let reconcile = parse("tandem usage --key k reconcile --invoice bill.csv --url http://h").unwrap();
        assert!(!super::is_asked(&reconcile.report));
        assert!(super::is_asked(&parse("tandem usage --json reconcile --invoice bill.csv").unwrap().report));
        for line in [
            "tandem usage --csv --json",
            "tandem usage --tenant t --all-tenants",
            "tandem usage reconcile",
            "tandem usage reconcile --invoice bill.csv --tolerance -1",
            "tandem usage reconcile --invoice bill.csv --only-mapped",
            "tandem usage reconcile --invoice bill.csv --column cost=x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
