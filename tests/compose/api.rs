//! What a user does, at both gateways.

use crate::{
    stack::{LIMIT, Stack, root},
    tests,
};
use e2e::{Api, chat_lines, eventually, scenarios};
use futures::{StreamExt, stream};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::process::Command;

const LINES: usize = 2_000;
/// Nano-USD of a token that is read and of one that is written, as in infra/docker/models/models.toml.
const PRICES: [i64; 2] = [1_000, 10_000];

tests! {
    both_gateways_take_the_first_steps,
    a_budget_holds_over_both_gateways,
    both_workers_do_a_part_of_a_batch,
    what_one_gateway_took_the_other_gives,
    the_sdk_of_a_user_finds_no_difference,
}

async fn both_gateways_take_the_first_steps(stack: &Stack) {
    for gateway in &stack.gateways {
        scenarios::first_steps(gateway).await;
    }
}

async fn a_budget_holds_over_both_gateways(stack: &Stack) {
    let (tenant, gateways) = stack.tenant("frugal").await;
    let budget = 20_000_000;
    for limit in [("usd_total", json!("0.02")), ("requests_per_minute", json!(1_000_000))] {
        let body = json!({"tenant_id": tenant, "kind": limit.0, "amount": limit.1});
        stack.admin.made("/admin/v1/limits", |request| request.json(&body)).await;
    }
    // The younger limit is told of in a header; who knows it knows the other one too.
    for gateway in &gateways {
        let knows = async || ask(gateway).await.headers().contains_key("x-ratelimit-limit-requests");
        assert!(eventually(LIMIT, knows).await, "{}", stack.log());
    }

    let storm = (0..600).map(async |n: usize| (n % 2, cost(ask(&gateways[n % 2]).await).await));
    let answers: Vec<_> = stream::iter(storm).buffer_unordered(64).collect().await;

    let spent = |gateway: usize| -> i64 {
        answers.iter().filter(|(who, _)| *who == gateway).filter_map(|(_, answer)| answer.as_ref().ok()).sum()
    };
    let refusals: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().err()).collect();
    println!("{} and {} of {budget} nano-USD, {} refused", spent(0), spent(1), refusals.len());
    assert!(spent(0) > 0 && spent(1) > 0, "both admit");
    assert!(spent(0) + spent(1) <= budget);
    assert!(!refusals.is_empty() && refusals.iter().all(|code| *code == "insufficient_quota"), "{refusals:?}");
}

async fn ask(gateway: &Api) -> Response {
    let request = gateway.request(Method::POST, "/v1/chat/completions").json(&scenarios::question(20, false));
    request.send().await.expect("an answer")
}

/// What an answer cost, or the code of the refusal.
async fn cost(answer: Response) -> Result<i64, String> {
    let is_refused = !answer.status().is_success();
    let answer: Value = answer.json().await.expect("JSON");
    if is_refused {
        return Err(answer["error"]["code"].as_str().unwrap_or_default().to_owned());
    }
    let count = |name: &str| answer["usage"][name].as_i64().expect("a count");
    Ok(count("prompt_tokens") * PRICES[0] + count("completion_tokens") * PRICES[1])
}

async fn both_workers_do_a_part_of_a_batch(stack: &Stack) {
    let gateway = &stack.gateways[0];
    let checkpoints = || {
        ["worker-1", "worker-2"].map(|worker| stack.count(worker, "tandem_batch_step_duration_seconds_count", "commit"))
    };
    let before = checkpoints();

    let batch = gateway.submit(chat_lines(LINES, 10)).await;
    scenarios::completed(gateway, &batch, LINES).await;

    let after = checkpoints();
    println!("checkpoints of each worker: {} and {}", after[0] - before[0], after[1] - before[1]);
    assert!(after[0] > before[0] && after[1] > before[1], "{before:?} {after:?}");
}

async fn what_one_gateway_took_the_other_gives(stack: &Stack) {
    let [one, other] = &stack.gateways;

    let batch = one.submit(chat_lines(50, 4)).await;

    scenarios::completed(other, &batch, 50).await;
}

/// tests/sdk, less what looks at the banner of `tandem up`.
async fn the_sdk_of_a_user_finds_no_difference(stack: &Stack) {
    let suites = ["tests/sdk/test_openai_sdk.py", "tests/sdk/test_batch_records.py", "tests/sdk/test_uploads.py"];
    let mut pytest = Command::new(".venv/bin/pytest");
    pytest
        .args(["-q", "-p", "no:cacheprovider", "-k", "not banner and not curl_line"])
        .args(suites)
        .current_dir(root());
    let told = pytest.env("TANDEM_URL", &stack.urls[1]).env("TANDEM_API_KEY", &stack.key).output();

    let told = told.expect("pytest, which `make compose-test` installs");

    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{said}");
    println!("{}", said.lines().last().unwrap_or_default());
}
