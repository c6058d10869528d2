//! The log filter, refused when it would silently log nothing.

use domain::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{ParseError, Targets};

const ALLOWED: &str = "a level (off, error, warn, info, debug, trace) or a list such as `info,store=debug`";

/// The exporters tell the news of their own setup at `info`; what is wrong with them they say at `warn`.
const QUIET: &str = "opentelemetry=warn,opentelemetry_sdk=warn";

/// Reads a filter. A single word that is no level would be taken for the name of a module that nobody has. By target and level only:
/// filters that look at spans and their fields do so whenever a span is entered, with each token of a stream.
pub(super) fn parse(text: &str) -> Result<Targets> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    if let Some(word) = words.iter().find(|word| word.contains('[')) {
        return Err(refuse(text, &format!("`{word}` names a span, and what is logged goes by targets")));
    }
    for word in words.iter().filter(|word| !word.contains('=')) {
        // An empty word would be read as `error`.
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(refuse(text, &format!("`{word}` is not a level")));
        }
    }
    let is_wide = words.iter().any(|word| ["info", "debug", "trace"].contains(&word.to_lowercase().as_str()));
    // Earlier directives yield to later ones for the same target, so the operator has the last word.
    let quiet = if is_wide { vec![QUIET] } else { Vec::new() };
    let directives = [quiet, words].concat().join(",");
    directives.parse().map_err(|error: ParseError| refuse(text, &error.to_string()))
}

fn refuse(text: &str, why: &str) -> Error {
    Error::invalid(format!("telemetry.log = \"{text}\": {why}; allowed is {ALLOWED}")).with_param("telemetry.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_read() {
        for good in ["info", "WARN", "off", "info,store=debug", "warn, hyper=off", "info,store::batches=trace"] {
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
        for bad in ["inof", "", "info,verbose", "info,store=loud", "info,[request]=debug", "info,[request{id=1}]=debug"]
        {
            let text = parse(bad).unwrap_err().to_string();
            assert!(text.contains("telemetry.log") && text.contains("debug"), "{text}");
        }
    }
}
