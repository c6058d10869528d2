//! Dashboards and the collection of metrics ask for what there is. Last, when everything has happened that is counted.

use crate::{
    stack::{SERVICES, Stack, root},
    tests,
};
use serde_json::Value;
use std::collections::BTreeSet;

const FOLDER: &str = "infra/docker/observability";

tests! {
    every_name_on_a_dashboard_is_measured,
    prometheus_asks_every_service,
}

async fn every_name_on_a_dashboard_is_measured(stack: &Stack) {
    let pages: Vec<_> = SERVICES.iter().map(|(service, port)| stack.probe(service, *port, "/metrics")).collect();
    let known: BTreeSet<&str> = pages.iter().flat_map(|page| words(page)).collect();
    let mut asked = BTreeSet::new();
    for file in std::fs::read_dir(root().join(FOLDER).join("grafana/dashboards")).unwrap() {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                asked.extend(words(target["expr"].as_str().unwrap()).map(str::to_owned));
            }
        }
    }

    let unknown: Vec<_> = asked.iter().filter(|name| !known.contains(name.as_str())).collect();

    println!("{} names of metrics and labels", asked.len());
    assert!(asked.len() > 20, "{asked:?}");
    assert!(unknown.is_empty(), "nothing measures {unknown:?}");
}

/// Names of ours and of OpenTelemetry's, of metrics and of their labels.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| ["tandem_", "gen_ai_", "http_"].iter().any(|prefix| word.starts_with(prefix)))
}

async fn prometheus_asks_every_service(_stack: &Stack) {
    let settings = std::fs::read_to_string(root().join(FOLDER).join("prometheus/prometheus.yml")).unwrap();

    for (service, port) in SERVICES {
        assert!(settings.contains(&format!("{service}:{port}")), "{service} is not asked");
    }
}
