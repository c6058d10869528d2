//! `GET /`: what a person sees who opens the address in a browser.

use crate::app::App;
use axum::{extract::State, response::Html};

const SIMULATED: &str = "<p class=\"note\">Models here come from the built-in <strong>simulator</strong>: \
    the text is made up and no real model runs.</p>";
const REAL: &str = "<p class=\"note\">Models here are served by the deployments that the operator configured.</p>";

/// `GET /`
pub(crate) async fn page(State(app): State<App>) -> Html<String> {
    let models = if app.gateway.is_simulator { SIMULATED } else { REAL };
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tandem</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body>\
         <h1>Tandem</h1><p>A gateway and a batch engine for language models, behind OpenAI's API. \
         Point an OpenAI client at <code>/v1</code> of this address and use a Tandem key.</p>{models}{LINKS}</body></html>"
    ))
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;\
    color:#1d2330;background:#fff}code{background:#eef1f5;padding:.1em .3em;border-radius:3px}\
    .note{border-left:4px solid #4269d0;padding-left:.8rem}\
    @media(prefers-color-scheme:dark){body{color:#e4e8ef;background:#14171d}code{background:#262b34}a{color:#8fb0ff}}";

const LINKS: &str = "<h2>What it serves</h2><ul>\
    <li><code>POST /v1/chat/completions</code>, <code>/v1/completions</code>, <code>/v1/embeddings</code></li>\
    <li><code>GET</code> <a href=\"/v1/models\"><code>/v1/models</code></a></li>\
    <li><code>POST</code> and <code>GET</code> <a href=\"/v1/files\"><code>/v1/files</code></a></li>\
    <li><code>POST</code> and <code>GET</code> <a href=\"/v1/batches\"><code>/v1/batches</code></a></li></ul>\
    <p>All of these want <code>Authorization: Bearer YOUR_KEY</code>; without it they answer 401. \
    Probes and metrics are on the admin port: <code>/livez</code>, <code>/readyz</code>, <code>/metrics</code>.</p>";
