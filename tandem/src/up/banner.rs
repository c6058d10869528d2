//! What a person sees when `tandem up` has started: where it is, what answers, and a line to paste.

use crate::settings::Settings;
use std::net::SocketAddr;

pub(super) fn print(settings: &Settings, api: SocketAddr, models: &str, secret: Option<&str>, example: Option<&str>) {
    println!("Tandem is up.");
    println!("  API      http://{api}/v1");
    println!("  metrics  http://{}/metrics", settings.admin.bind);
    println!("  data     {}", settings.data.absolute_dir().display());
    println!("  models   {models}");
    match secret {
        Some(secret) => println!("  key      {secret}   (first admin key; shown once, so keep it)"),
        None => println!("  key      the ones you made before; `tandem keys create NAME` makes another"),
    }
    println!("\nTry:\n{}", curl(api, secret.unwrap_or("$TANDEM_API_KEY"), example.unwrap_or("MODEL")));
}

fn curl(api: SocketAddr, key: &str, model: &str) -> String {
    format!(
        "  curl -N http://{api}/v1/chat/completions -H 'Content-Type: application/json' -H \"Authorization: Bearer {key}\" \
         -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
    )
}
