//! What a comparison found, for people and for programs.

use super::{
    drift::{Booked, Finding, Verdict},
    names::{Group, Place},
    report,
};
use chrono::NaiveDate;
use domain::Money;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a comparison found.
pub(super) struct Findings {
    pub(super) from: NaiveDate,
    pub(super) through: NaiveDate,
    pub(super) groups: Vec<Group>,
    pub(super) findings: Vec<Finding>,
    pub(super) not_compared: BTreeMap<Place, Booked>,
}

const HEADERS: [&str; 7] = ["day", "on the bill", "here", "verdict", "bill (USD)", "ledger (USD)", "drift (USD)"];
/// Of them, texts.
const TEXTS: usize = 4;

impl Findings {
    pub(super) fn agree(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict == Verdict::Agrees)
    }

    pub(super) fn to_table(&self) -> String {
        let mut table = report::table(HEADERS.into_iter(), TEXTS);
        for finding in &self.findings {
            table.add_row(self.cells(finding));
        }
        let off = self.findings.iter().filter(|finding| finding.verdict != Verdict::Agrees).count();
        let verdict = match off {
            0 => format!("All {} days of models agree.", self.findings.len()),
            off => format!("{off} of {} days of models don't agree.", self.findings.len()),
        };
        let notes = [self.unknown_names(), self.left_out()].concat();
        format!("{table}\n{verdict}{notes}")
    }

    pub(super) fn to_json(&self) -> Value {
        let not_compared = self.not_compared.iter().map(|((model, deployment), booked)| {
            json!({"model": model, "deployment": deployment, "requests": booked.requests, "ledger_usd": known(booked)})
        });
        json!({
            "object": "usage_reconciliation",
            "from": self.from,
            "through": self.through,
            "agrees": self.agree(),
            "data": self.findings.iter().map(|finding| self.object(finding)).collect::<Vec<_>>(),
            "not_compared": not_compared.collect::<Vec<_>>(),
        })
    }

    fn cells(&self, finding: &Finding) -> [String; 7] {
        let Booked { requests, unpriced, cost, .. } = finding.booked;
        [
            finding.day.to_string(),
            self.groups[finding.group].theirs.join(", "),
            self.here(finding),
            finding.verdict.as_str().replace('_', " "),
            finding.billed.map_or_else(|| "-".to_owned(), |billed| billed.cost.to_usd()),
            if requests == 0 { "-".to_owned() } else { report::cost(cost, unpriced, requests) },
            drift(finding).map_or_else(|| "unknown".to_owned(), Money::to_usd),
        ]
    }

    fn object(&self, finding: &Finding) -> Value {
        let places = self.groups[finding.group].places.iter();
        let (billed, tokens) = (finding.billed, finding.billed.and_then(|billed| billed.tokens));
        json!({
            "day": finding.day,
            "billed_as": self.groups[finding.group].theirs,
            "places": places.map(|(model, deployment)| json!({"model": model, "deployment": deployment})).collect::<Vec<_>>(),
            "verdict": finding.verdict.as_str(),
            "billed_usd": billed.map(|billed| billed.cost.to_usd()),
            "ledger_usd": known(&finding.booked),
            "drift_usd": drift(finding).map(Money::to_usd),
            "unpriced_requests": finding.booked.unpriced,
            "billed_input_tokens": tokens.map(|(input, _)| input),
            "billed_output_tokens": tokens.map(|(_, output)| output),
            "ledger_input_tokens": finding.booked.tokens.0,
            "ledger_output_tokens": finding.booked.tokens.1,
        })
    }

    fn here(&self, finding: &Finding) -> String {
        let deployments: BTreeSet<_> =
            self.groups[finding.group].places.iter().map(|(_, deployment)| deployment.as_str()).collect();
        if deployments.is_empty() { "-".to_owned() } else { deployments.into_iter().collect::<Vec<_>>().join(", ") }
    }

    fn unknown_names(&self) -> String {
        let unknown = self.groups.iter().filter(|group| group.places.is_empty()).flat_map(|group| &group.theirs);
        let unknown: Vec<_> = unknown.map(|name| format!("`{name}`")).collect();
        if unknown.is_empty() {
            return String::new();
        }
        format!(
            "\nThe ledger knows nothing of {}. If it has another name here: --map THEIRS=DEPLOYMENT; to leave it out: --map the \
             others and --only-mapped.",
            unknown.join(", ")
        )
    }

    fn left_out(&self) -> String {
        let costly = self.not_compared.iter().filter(|(_, booked)| booked.cost != Money::ZERO || booked.unpriced > 0);
        let lines = costly.map(|((model, deployment), booked)| {
            let cost = report::cost(booked.cost, booked.unpriced, booked.requests);
            format!("\nNot on this bill: {model} by {deployment}, {cost} USD in the ledger.")
        });
        lines.collect()
    }
}

/// What the ledger has more than the bill; none where it doesn't know.
fn drift(finding: &Finding) -> Option<Money> {
    let billed = finding.billed.unwrap_or_default().cost;
    let drift = finding.booked.cost.nanos().saturating_sub(billed.nanos());
    (finding.booked.unpriced == 0).then_some(Money::from_nanos(drift))
}

fn known(booked: &Booked) -> Option<String> {
    (booked.unpriced == 0).then(|| booked.cost.to_usd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::invoice::Billed;

    fn findings(booked: Booked, verdict: Verdict) -> Findings {
        let day = "2026-01-01".parse().unwrap();
        let place = ("m".to_owned(), "d".to_owned());
        let groups = vec![
            Group { theirs: vec!["gpt".to_owned()], places: BTreeSet::from([place.clone()]) },
            Group { theirs: vec!["whisper".to_owned()], places: BTreeSet::new() },
        ];
        let billed = Some(Billed { cost: Money::from_nanos(2_000_000_000), tokens: Some((7, 3)) });
        let findings = vec![Finding { day, group: 0, billed, booked, verdict }];
        let not_compared =
            BTreeMap::from([(("own".to_owned(), "gpus".to_owned()), Booked { unpriced: 1, requests: 1, ..booked })]);
        Findings { from: day, through: day, groups, findings, not_compared }
    }

    #[test]
    fn a_drift_is_told_to_people_and_programs() {
        let booked = Booked { requests: 2, unpriced: 0, cost: Money::from_nanos(1_500_000_000), tokens: (7, 3) };
        let findings = findings(booked, Verdict::CostDiffers);

        let (table, json) = (findings.to_table(), findings.to_json());

        assert!(!findings.agree());
        for told in [
            "cost differs",
            "-0.500000000",
            "1 of 1 days of models don't agree",
            "nothing of `whisper`",
            "own by gpus, unknown USD",
        ] {
            assert!(table.contains(told), "{told} is not in\n{table}");
        }
        assert_eq!((&json["agrees"], &json["data"][0]["drift_usd"]), (&json!(false), &json!("-0.500000000")));
        assert_eq!(json["data"][0]["places"], json!([{"model": "m", "deployment": "d"}]));
    }

    #[test]
    fn an_unknown_price_makes_the_drift_unknown() {
        let booked = Booked { requests: 2, unpriced: 2, ..Booked::default() };
        let findings = findings(booked, Verdict::PriceUnknown);

        let row = findings.to_table().lines().find(|line| line.contains("gpt")).unwrap().to_owned();

        assert_eq!(row.matches("unknown").count(), 3, "{row}");
        assert!(findings.to_json()["data"][0]["ledger_usd"].is_null());
    }
}
