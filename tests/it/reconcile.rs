//! `tandem usage` and `tandem usage reconcile` as an operator runs them, against the ledger of a running site.

use domain::Scopes;
use e2e::{Database, Process, Site, eventually};
use serde_json::{Value, json};
use std::{process::Output, time::Duration};
use store::{NewKey, UsageQuery, UsageRow};

const LIMIT: Duration = Duration::from_secs(60);

/// A site that has answered three requests, which cost something, and who may ask about them.
struct Answered {
    site: Site,
    gateway: Process,
    admin: String,
    row: UsageRow,
    /// The day of the requests.
    day: String,
}

async fn answered() -> Answered {
    let site = Site::new(Database::Postgres, 0.0).await;
    let gateway = site.start_gateways(1).await.remove(0);
    let request = json!({"model": "tandem-sim", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]});
    for _ in 0..3 {
        let (status, answer) = site.ask(&gateway, "/v1/chat/completions", &request).await;
        assert_eq!(status, 200, "{answer}");
    }
    let query = UsageQuery { to_ms: i64::MAX, ..UsageQuery::default() };
    let mut row = UsageRow::default();
    let written = eventually(LIMIT, async || {
        row = site.store.usage(&query).await.unwrap().remove(0);
        row.requests == 3
    });
    assert!(written.await, "{row:?}\n{}", site.log());
    let (_, admin) = site.store.create_key(&site.tenant, &NewKey::named("admin", Scopes::ADMIN)).await.unwrap();
    let report = site.try_get(&gateway, "/v1/usage?group_by=day").await.unwrap();
    let day = report["data"][0]["day"].as_str().unwrap().to_owned();
    Answered { site, gateway, admin, row, day }
}

impl Answered {
    fn tandem(&self, args: &[&str]) -> Output {
        self.site.command(&[&["usage"], args].concat(), &self.gateway, &self.admin)
    }

    fn bill(&self, name: &str, text: &str) -> String {
        let path = self.site.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn reconcile(&self, bill: &str, more: &[&str]) -> Output {
        self.tandem(&[&["reconcile", "--invoice", bill], more].concat())
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_agrees_ends_with_0_and_one_that_does_not_with_1() {
    let answered = answered().await;
    let Answered { row, day, .. } = &answered;
    let (cost, usage) = (row.cost.to_usd(), row.usage);
    let right = answered.bill(
        "right.csv",
        &format!(
            "day,model,cost_usd,input_tokens,output_tokens\n{day},tandem-sim,{cost},{},{}\n",
            usage.input, usage.output
        ),
    );
    let dear = answered.bill("dear.csv", &format!("usage_date_utc,model,cost_usd\n{day},Provider's Sim,1.5\n"));

    let agrees = answered.reconcile(&right, &["--tolerance", "0"]);
    let unknown = answered.reconcile(&dear, &[]);
    let differs = answered.reconcile(&dear, &["--map", "Provider's Sim=simulator", "--json"]);
    let far = answered.reconcile(&dear, &["--map", "Provider's Sim=simulator", "--ignore-below", "2"]);

    assert_eq!(agrees.status.code(), Some(0), "{}", text(&agrees));
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("The ledger knows nothing of `Provider's Sim`"), "{}", text(&unknown));
    let found: Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!((differs.status.code(), &found["agrees"]), (Some(1), &json!(false)), "{}", text(&differs));
    let cell = &found["data"][0];
    assert_eq!((&cell["verdict"], &cell["ledger_usd"]), (&json!("cost_differs"), &json!(cost)));
    assert_eq!(cell["places"], json!([{"model": "tandem-sim", "deployment": "simulator"}]));
    assert_eq!(far.status.code(), Some(0), "{}", text(&far));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_can_not_be_read_is_told_with_its_line() {
    let answered = answered().await;
    let bill = answered.bill("bad.csv", &format!("day,model,cost_usd\n{},tandem-sim,much\n", answered.day));

    let refused = answered.reconcile(&bill, &[]);

    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("bad.csv can't be used: line 2: `much` is no amount"), "{}", text(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_table_csv_or_json() {
    let answered = answered().await;
    let cost = answered.row.cost.to_usd();

    let table = answered.tandem(&["--by", "day,model"]);
    let csv = answered.tandem(&["--by", "deployment", "--csv", "--all-tenants"]);
    let json = answered.tandem(&["--json", "--tenant", answered.site.tenant.as_str()]);
    let refused = answered.tandem(&["--by", "hour"]);

    let line = text(&table).lines().find(|line| line.contains("tandem-sim")).unwrap().to_owned();
    assert!(line.contains(&answered.day) && line.trim_end().ends_with(&cost), "{}", text(&table));
    assert!(text(&csv).starts_with("deployment,requests,") && text(&csv).contains("\nsimulator,3,"), "{}", text(&csv));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["data"][0]["cost_usd"], cost.as_str());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("Supported values are"), "{}", text(&refused));
}
