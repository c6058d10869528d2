//! The log filter, refused when it would silently log nothing.

use domain::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

const ALLOWED: &str = "a level (off, error, warn, info, debug, trace) or a list such as `info,store=debug`";

/// The exporters tell the news of their own setup at `info`; what is wrong with them they say at `warn`.
const QUIET: &str = "opentelemetry=warn,opentelemetry_sdk=warn";

/// Reads a filter. A single word that is no level would be taken for the name of a module that nobody has.
pub(super) fn parse(text: &str) -> Result<EnvFilter> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    for word in words.iter().filter(|word| !word.contains(['=', '['])) {
        // An empty word would be read as `error`.
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(refuse(text, &format!("`{word}` is not a level")));
        }
    }
    let is_wide = words.iter().any(|word| ["info", "debug", "trace"].contains(&word.to_lowercase().as_str()));
    // Earlier directives yield to later ones for the same target, so the operator has the last word.
    let quiet = if is_wide { vec![QUIET] } else { Vec::new() };
    let directives = [quiet, words].concat().join(",");
    EnvFilter::builder().parse(directives).map_err(|error| refuse(text, &error.to_string()))
}

fn refuse(text: &str, why: &str) -> Error {
    Error::invalid(format!("telemetry.log = \"{text}\": {why}; allowed is {ALLOWED}")).with_param("telemetry.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_read() {
        for good in ["info", "WARN", "off", "info,store=debug", "warn, hyper=off", "info,[request]=debug"] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_exporters_news_are_kept_quiet_unless_asked_for() {
        let shown = |text| parse(text).unwrap().to_string();

        assert!(shown("info").contains("opentelemetry=warn"));
        assert!(!shown("off").contains("opentelemetry"));
        let asked = shown("info,opentelemetry=debug");
        assert!(asked.contains("opentelemetry=debug") && !asked.contains("opentelemetry=warn"), "{asked}");
    }

    #[test]
    fn a_misspelt_level_is_refused_with_what_is_allowed() {
        for bad in ["inof", "", "info,verbose", "info,store=loud"] {
            let text = parse(bad).unwrap_err().to_string();
            assert!(text.contains("telemetry.log") && text.contains("debug"), "{text}");
        }
    }
}
