//! Secrets and prompts that are planted to be found: nothing that the platform tells or keeps may hold them.

use e2e::{Database, Process, Site};
use serde_json::{Value, json};
use store::{AuditQuery, NewKey};

const PROMPT: &str = "canary-prompt-7f3a";
const WRONG_KEY: &str = "tdm_live_canary-key-91bc";
const TOKEN: &str = "eyJhbGciOiJub25lIn0.canary-token-52de.x";
const UPSTREAM_KEY: &str = "sk-canary-upstream-44aa";

async fn post(site: &Site, process: &Process, path: &str, credential: &str, body: String) -> String {
    let request = site.client().post(format!("{}{path}", process.url)).bearer_auth(credential).body(body);
    let response = request.header("content-type", "application/json").send().await.expect("an answer");
    format!("{:?}\n{}", response.headers().clone(), response.text().await.expect("a body"))
}

async fn get(site: &Site, process: &Process, path: &str, credential: &str) -> String {
    let request = site.client().get(format!("{}{path}", process.url)).bearer_auth(credential);
    request.send().await.expect("an answer").text().await.expect("a body")
}

fn chat(model: &str, more: Value) -> String {
    let mut body = json!({"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": PROMPT}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_or_kept_holds_a_secret_or_a_prompt() {
    let site = Site::new(Database::Sqlite, 0.0).await;
    let process = site
        .start_with(&[
            ("TANDEM__TELEMETRY__LOG", "debug"),
            ("TANDEM__ORCHESTRATOR__SECRET", "canary-service-secret"),
            ("OPENAI_API_KEY", UPSTREAM_KEY),
        ])
        .await;
    let admin = NewKey::named("operator", domain::Scopes::ADMIN);
    let (_, admin) = site.store.create_key(&site.tenant, &admin).await.unwrap();
    let (chats, sim) = ("/v1/chat/completions", site.upstream_root());
    let mut told = Vec::new();

    for (path, credential, body) in [
        (chats, site.key.as_str(), chat("tandem-sim", json!({}))),
        (chats, &site.key, chat("tandem-sim", json!({"stream": true}))),
        (chats, &site.key, chat("no-such-model", json!({}))),
        (chats, &site.key, chat("tandem-sim", json!({"max_tokens": "many"}))),
        (chats, &site.key, chat("tandem-sim", json!({"temperature": "hot"}))),
        (chats, &site.key, format!("{{\"messages\": \"{PROMPT}\"")),
        (chats, WRONG_KEY, chat("tandem-sim", json!({}))),
        (chats, TOKEN, chat("tandem-sim", json!({}))),
        ("/v1/messages", &site.key, chat("tandem-sim", json!({}))),
        ("/v1/responses", &site.key, json!({"model": "tandem-sim", "input": PROMPT, "store": true}).to_string()),
        ("/v1/embeddings", &site.key, json!({"model": "tandem-sim", "input": PROMPT}).to_string()),
        ("/admin/v1/keys", &site.key, json!({"name": "narrow"}).to_string()),
        ("/admin/v1/keys", &admin, json!({"name": "wide", "scopes": ["root"]}).to_string()),
    ] {
        told.push(post(&site, &process, path, credential, body).await);
    }
    for fault in ["status=500", "status=401", "reset", "cut=1", "malformed=0", "error=1"] {
        let armed =
            site.client().post(format!("{sim}/sim/faults")).json(&json!({"fault": fault, "times": 4})).send().await;
        assert!(armed.expect("the simulator answers").status().is_success());
        told.push(post(&site, &process, chats, &site.key, chat("tandem-sim", json!({}))).await);
    }
    let made = post(&site, &process, "/admin/v1/keys", &admin, json!({"name": "made here"}).to_string()).await;
    let secret = made.split("\"secret\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&made).to_owned();
    told.push(site.metrics(&process).await);
    told.push(get(&site, &process, "/admin/v1/deployments", &admin).await);
    assert!(told.last().is_some_and(|text| text.contains("\"object\":\"deployment\"")), "{told:?}");
    assert_eq!(process.terminate().await, Some(0), "{}", site.log());

    told.push(site.log());
    told.push(String::from_utf8_lossy(&site.database_bytes()).into_owned());
    told.push(format!("{:?}", site.store.list_audit(&AuditQuery::default(), None, 100).await.unwrap()));
    assert!(told.iter().any(|text| text.contains("acme")), "the database is among what is searched");
    assert!(site.log().contains("invalid_api_key") || site.log().contains("Incorrect API key"), "{}", site.log());
    let canaries = [PROMPT, "canary-key-91bc", "canary-token-52de", UPSTREAM_KEY, "canary-service-secret"];
    for canary in canaries.into_iter().chain([site.key.as_str(), &admin, &secret]) {
        let found: Vec<_> =
            told.iter().filter(|text| text.contains(canary)).map(|text| excerpt(text, canary)).collect();
        assert!(found.is_empty(), "{canary}: {found:#?}");
    }
}

fn excerpt(text: &str, canary: &str) -> String {
    let at = text.find(canary).unwrap_or_default();
    let from = text.floor_char_boundary(at.saturating_sub(200));
    let to = text.ceil_char_boundary((at + 200).min(text.len()));
    text[from..to].to_owned()
}
