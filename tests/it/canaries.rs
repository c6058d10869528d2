//! Secrets and prompts that are planted to be found: nothing that the platform tells or keeps may hold them.

use e2e::{Collector, Database, Issuer, Process, Site};
use serde_json::{Value, json};
use store::{AuditQuery, NewKey};

const PROMPT: &str = "canary-prompt-7f3a";
const WRONG_KEY: &str = "tdm_live_canary-key-91bc";
const NO_TOKEN: &str = "eyJhbGciOiJub25lIn0.canary-token-52de.x";
const UPSTREAM_KEY: &str = "sk-canary-upstream-44aa";
const SERVICE_SECRET: &str = "canary-service-secret";
const REPEAT_KEY: &str = "canary-repeat-key-c3d1";
const CHATS: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt_on_sqlite() {
    nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt_on_postgres() {
    nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt(Database::Postgres).await;
}

async fn nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt(database: Database) {
    let site = Site::new(database, 0.0).await;
    let (issuer, collector) = (Issuer::start().await, Collector::start().await);
    let (process, admin) = start(&site, &issuer, &collector).await;
    let tokens = tokens(&issuer);

    let mut told = Vec::new();
    for (path, credential, body) in with_keys(&site.key, &admin).into_iter().chain(with_tokens(&tokens)) {
        told.push(post(&site, &process, path, credential, body).await);
    }
    told.extend(with_a_repeat_key(&site, &process).await);
    told.extend(with_faults(&site, &process).await);
    let made = post(&site, &process, "/admin/v1/keys", &admin, json!({"name": "made here"}).to_string()).await;
    let secret = made.split("\"secret\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&made).to_owned();
    told.push(site.metrics(&process).await);
    let deployments = site.client().get(format!("{}/admin/v1/deployments", process.url)).bearer_auth(&admin);
    told.push(deployments.send().await.expect("an answer").text().await.expect("a body"));
    assert!(told.last().is_some_and(|text| text.contains("\"object\":\"deployment\"")), "{told:?}");
    assert_eq!(process.terminate().await, Some(0), "{}", site.log());

    let (kept, traced) = (site.database_text(), collector.text());
    assert!(kept.contains("acme") && kept.contains("company:canary-reader"), "the database is among what is searched");
    assert!(traced.contains(CHATS) && traced.contains("tandem"), "and so are traces");
    assert!(site.log().contains("invalid_api_key") || site.log().contains("Incorrect API key"), "{}", site.log());
    assert!(site.log().contains("an answer broke after it had begun"), "{}", site.log());
    told.extend([site.log(), kept, traced]);
    told.push(format!("{:?}", site.store.list_audit(&AuditQuery::default(), None, 100).await.unwrap()));
    let planted =
        [PROMPT, "canary-key-91bc", "canary-token-52de", UPSTREAM_KEY, SERVICE_SECRET, REPEAT_KEY, Issuer::CLAIM];
    // All but the header of a token, which is the same for everybody: `Iterator::skip`, no skipped test.
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    for canary in planted.into_iter().chain([site.key.as_str(), &admin, &secret]).chain(parts) {
        let found: Vec<_> =
            told.iter().filter(|text| text.contains(canary)).map(|text| excerpt(text, canary)).collect();
        assert!(found.is_empty(), "{canary}: {found:#?}");
    }
}

/// A process with all that it may tell, and the key of an operator.
async fn start(site: &Site, issuer: &Issuer, collector: &Collector) -> (Process, String) {
    site.write_settings(&issuer.settings("acme"));
    let settings = [
        ("TANDEM__TELEMETRY__LOG", "debug"),
        ("TANDEM__TELEMETRY__OTLP_ENDPOINT", collector.url()),
        ("TANDEM__ORCHESTRATOR__SECRET", SERVICE_SECRET),
        ("OPENAI_API_KEY", UPSTREAM_KEY),
    ];
    let admin = NewKey::named("operator", domain::Scopes::ADMIN);
    let (_, admin) = site.store.create_key(&site.tenant, &admin).await.unwrap();
    (site.start_with(&settings).await, admin)
}

/// A token that is good for an hour, one that has ended, and one whose signature is another's.
fn tokens(issuer: &Issuer) -> [String; 3] {
    let (good, ended) = (issuer.token("canary-reader", 3_600), issuer.token("canary-reader", -60));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, ended.rsplit_once('.').unwrap().1);
    [good, ended, forged]
}

/// A path, a credential and a body.
type Ask<'a> = (&'static str, &'a str, String);

fn with_keys<'a>(key: &'a str, admin: &'a str) -> Vec<Ask<'a>> {
    vec![
        (CHATS, key, chat("tandem-sim", json!({}))),
        (CHATS, key, chat("tandem-sim", json!({"stream": true}))),
        (CHATS, key, chat("no-such-model", json!({}))),
        (CHATS, key, chat("tandem-sim", json!({"max_tokens": "many"}))),
        (CHATS, key, chat("tandem-sim", json!({"temperature": "hot"}))),
        (CHATS, key, format!("{{\"messages\": \"{PROMPT}\"")),
        (CHATS, WRONG_KEY, chat("tandem-sim", json!({}))),
        ("/v1/messages", key, chat("tandem-sim", json!({}))),
        ("/v1/responses", key, json!({"model": "tandem-sim", "input": PROMPT, "store": true}).to_string()),
        ("/v1/embeddings", key, json!({"model": "tandem-sim", "input": PROMPT}).to_string()),
        ("/admin/v1/keys", key, json!({"name": "narrow"}).to_string()),
        ("/admin/v1/keys", admin, json!({"name": "wide", "scopes": ["root"]}).to_string()),
    ]
}

fn with_tokens([good, ended, forged]: &[String; 3]) -> Vec<Ask<'_>> {
    vec![
        (CHATS, NO_TOKEN, chat("tandem-sim", json!({}))),
        (CHATS, good, chat("tandem-sim", json!({}))),
        (CHATS, good, chat("tandem-sim", json!({"stream": true}))),
        (CHATS, good, chat("no-such-model", json!({}))),
        (CHATS, ended, chat("tandem-sim", json!({}))),
        (CHATS, forged, chat("tandem-sim", json!({}))),
        ("/admin/v1/keys", good, json!({"name": "narrow"}).to_string()),
    ]
}

/// Asks a model server that fails in all its ways: once each, which the next call mends, so that no breaker keeps the others from being
/// seen; then until nobody tries again; and last so that the server rests.
async fn with_faults(site: &Site, process: &Process) -> Vec<String> {
    let once =
        ["reset", "cut=1", "malformed=0", "error=1", "status=500"].map(|fault| (fault, 1, [false, true].as_slice()));
    let at_last = [("status=500", 3, [false].as_slice()), ("status=401", 1, &[false])];
    let mut told = Vec::new();
    for (fault, times, kinds) in once.into_iter().chain(at_last) {
        for stream in kinds {
            let faults = format!("{}/sim/faults", site.upstream_root());
            let armed = site.client().post(faults).json(&json!({"fault": fault, "times": times})).send().await;
            assert!(armed.expect("the simulator answers").status().is_success());
            told.push(post(site, process, CHATS, &site.key, chat("tandem-sim", json!({"stream": stream}))).await);
        }
    }
    let failures = told.iter().rev().take(2).filter(|answer| answer.starts_with("502"));
    assert_eq!(failures.count(), 2, "{told:#?}");
    told
}

/// Asks twice with the same key to ask again with.
async fn with_a_repeat_key(site: &Site, process: &Process) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..2 {
        let request = site.client().post(format!("{}{CHATS}", process.url)).header("idempotency-key", REPEAT_KEY);
        told.push(answer(request.bearer_auth(&site.key), chat("tandem-sim", json!({}))).await);
    }
    assert!(told[1].contains("idempotent-replayed"), "{told:?}");
    told
}

async fn post(site: &Site, process: &Process, path: &str, credential: &str, body: String) -> String {
    answer(site.client().post(format!("{}{path}", process.url)).bearer_auth(credential), body).await
}

async fn answer(request: reqwest::RequestBuilder, body: String) -> String {
    let response = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
    let head = format!("{} {:?}", response.status(), response.headers());
    format!("{head}\n{}", response.text().await.expect("a body"))
}

fn chat(model: &str, more: Value) -> String {
    let mut body = json!({"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": PROMPT}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn excerpt(text: &str, canary: &str) -> String {
    let at = text.find(canary).unwrap_or_default();
    let from = text.floor_char_boundary(at.saturating_sub(200));
    let to = text.ceil_char_boundary((at + 200).min(text.len()));
    text[from..to].to_owned()
}
