//! `GET /`: what a person sees who opens the address in a browser.

use crate::{app::App, openapi::PAGE_POLICY};
use axum::{
    extract::State,
    response::{Html, IntoResponse},
};

const SIMULATED: &str = "<p class=\"note\">Models here come from the built-in <strong>simulator</strong>: \
    the text is made up and no real model runs.</p>";
const REAL: &str = "<p class=\"note\">Models here are served by the deployments that the operator configured.</p>";

/// `GET /`
pub(crate) async fn page(State(app): State<App>) -> impl IntoResponse {
    let models = if app.gateway.is_simulator { SIMULATED } else { REAL };
    let page = Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tandem</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"stylesheet\" href=\"/docs/page.css\"></head><body>\
         <h1>Tandem</h1><p>A gateway and a batch engine for language models, behind OpenAI's API. \
         Point an OpenAI client at <code>/v1</code> of this address and use a Tandem key.</p>{models}{LINKS}</body></html>"
    ));
    (PAGE_POLICY, page)
}

const LINKS: &str = "<h2>What it serves</h2><ul>\
    <li><code>POST /v1/chat/completions</code>, <code>/v1/completions</code>, <code>/v1/embeddings</code></li>\
    <li><code>GET</code> <a href=\"/v1/models\"><code>/v1/models</code></a></li>\
    <li><code>POST</code> and <code>GET</code> <a href=\"/v1/files\"><code>/v1/files</code></a></li>\
    <li><code>POST</code> and <code>GET</code> <a href=\"/v1/batches\"><code>/v1/batches</code></a></li></ul>\
    <p>All of these want <code>Authorization: Bearer YOUR_KEY</code>; without it they answer 401. \
    Probes and metrics are on the admin port: <code>/livez</code>, <code>/readyz</code>, <code>/metrics</code>.</p>\
    <p>Every path, with its parameters and answers, is in <a href=\"/docs\">the reference</a>.</p>";
