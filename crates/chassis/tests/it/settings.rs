//! Settings from files and environments, right and wrong.

use chassis::{
    http::HttpSettings,
    settings::{Secret, SettingsError, load},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    name: String,
    http: HttpSettings,
    pool: Pool,
}

/// Accepts unknown keys as far as serde goes; they must be found all the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Pool {
    size: u16,
    hosts: Vec<String>,
    weights: Vec<u32>,
    eager: bool,
    mode: Mode,
    key: Secret,
    note: Option<String>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            size: 4,
            hosts: Vec::new(),
            weights: Vec::new(),
            eager: false,
            mode: Mode::Fair,
            key: Secret::from("built-in".to_owned()),
            note: None,
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fair,
    Fast,
}

fn read(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tandem.toml");
    fs::write(&path, file).unwrap();
    load(Some(&path), env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

fn mistakes(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    read(file, env).unwrap_err().problems().iter().map(ToString::to_string).collect()
}

fn secret_file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn without_sources_the_defaults_hold() {
    let settings: Settings = load(None, std::iter::empty()).unwrap();

    assert_eq!(settings.pool.size, 4);
    assert_eq!(settings.pool.key.expose(), "built-in");
    assert_eq!(settings.http.bind.port(), 8080);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[pool]\nsize = 8\neager = true\n[http]\nrequest_timeout = \"5s\"";

    let settings = read(file, &[("TANDEM__POOL__SIZE", "16"), ("SIZE", "1"), ("TANDEM_POOL", "x")]).unwrap();

    assert_eq!(settings.pool.size, 16);
    assert!(settings.pool.eager);
    assert_eq!(settings.http.request_timeout.as_secs(), 5);
    assert_eq!(settings.http.max_body_bytes, 32 << 20);
}

#[test]
fn a_variable_is_read_as_what_the_key_wants() {
    let env = [
        ("TANDEM__NAME", "007"),
        ("TANDEM__POOL__HOSTS", "a, b"),
        ("TANDEM__POOL__WEIGHTS", "1,2"),
        ("TANDEM__POOL__EAGER", "true"),
        ("TANDEM__POOL__MODE", "fast"),
        ("TANDEM__POOL__KEY", "0123"),
        ("TANDEM__POOL__NOTE", "5"),
        ("TANDEM__HTTP__BIND", "0.0.0.0:80"),
    ];

    let settings = read("", &env).unwrap();

    assert_eq!(settings.name, "007");
    assert_eq!(settings.pool.hosts, ["a", "b"]);
    assert_eq!(settings.pool.weights, [1, 2]);
    assert!(settings.pool.eager);
    assert_eq!(settings.pool.mode, Mode::Fast);
    assert_eq!(settings.pool.key.expose(), "0123");
    assert_eq!(settings.pool.note.as_deref(), Some("5"));
    assert_eq!(settings.http.bind.to_string(), "0.0.0.0:80");
}

#[test]
fn every_mistake_of_every_source_is_in_one_report() {
    let file = "nmae = \"x\"\n[pool]\nsize = 70000\nsiez = 1\nmode = \"slow\"";
    let env = [("TANDEM__POOL__EAGER", "perhaps"), ("TANDEM__HTTP__BIND", "localhost"), ("TANDEM__PUUL__SIZE", "1")];

    let mistakes = mistakes(file, &env);

    assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    let expected = [
        ("nmae (", "there is no such key; did you mean `name`?"),
        ("pool.size = 70000 (", "expected a whole number from 0 to 65535; the default is 4"),
        ("pool.siez (", "did you mean `size`?"),
        ("pool.mode = \"slow\" (", "expected `fair` or `fast`"),
        ("pool.eager = \"perhaps\" (environment, TANDEM__POOL__EAGER)", "expected true or false"),
        ("http.bind = \"localhost\" (environment, TANDEM__HTTP__BIND)", "127.0.0.1:8080"),
        ("puul (environment, TANDEM__PUUL__SIZE)", "did you mean `pool`?"),
    ];
    for (start, part) in expected {
        assert!(mistakes.iter().any(|text| text.starts_with(start) && text.contains(part)), "{start}: {mistakes:#?}");
    }
}

#[test]
fn a_mistake_in_the_file_names_the_file() {
    let text = mistakes("[pool]\nsize = -1", &[]).remove(0);

    assert!(text.contains("tandem.toml"), "{text}");
}

#[test]
fn the_same_key_may_be_wrong_in_two_places() {
    let mistakes = mistakes("[pool]\nsize = \"many\"", &[("TANDEM__POOL__SIZE", "few")]);

    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
}

#[test]
fn a_section_is_not_a_value_and_a_value_not_a_section() {
    let mistakes = mistakes("", &[("TANDEM__POOL", "5"), ("TANDEM__NAME__FIRST", "x")]);

    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert!(mistakes.iter().any(|text| text.contains("TANDEM__POOL)") && text.contains("a section")), "{mistakes:#?}");
    assert!(mistakes.iter().any(|text| text.contains("TANDEM__NAME__FIRST)")), "{mistakes:#?}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_rest() {
    let missing = PathBuf::from("/nonexistent/tandem.toml");
    let env = [("TANDEM__POOL__SIZE".to_owned(), "many".to_owned())];

    let error = load::<Settings>(Some(&missing), env.into_iter()).unwrap_err();

    assert_eq!(error.problems().len(), 2, "{error}");
    assert!(error.to_string().starts_with("2 mistakes in the settings:\n- the settings file /nonexistent/tandem.toml"));
}

#[test]
fn a_file_that_is_not_toml_is_refused_without_quoting_it() {
    let text = mistakes("[pool]\nkey = \"sk-live", &[]).remove(0);

    assert!(text.contains("line 2") && text.contains("not TOML"), "{text}");
    assert!(!text.contains("sk-live"), "{text}");
}

#[test]
fn a_secret_may_lie_in_a_file() {
    let (_folder, path) = secret_file("sk-live\n");

    let settings = read("", &[("TANDEM__POOL__KEY", &format!("file:{}", path.display()))]).unwrap();

    assert_eq!(settings.pool.key.expose(), "sk-live");
}

#[test]
fn a_secret_is_shown_to_nobody() {
    let settings = read("", &[("TANDEM__POOL__KEY", "sk-live")]).unwrap();

    let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());

    assert!(!shown.contains("sk-live") && !shown.contains("built-in"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let (_folder, empty) = secret_file("\n");
    let no_text = mistakes("[pool]\nkey = 424242", &[]).remove(0);
    let no_file = mistakes("", &[("TANDEM__POOL__KEY", "file:/nonexistent/key")]).remove(0);
    let no_secret = mistakes("", &[("TANDEM__POOL__KEY", &format!("file:{}", empty.display()))]).remove(0);
    let misspelt = mistakes("[pool]\nkye = \"sk-live\"", &[]).remove(0);

    assert!(no_text.contains("text in quotes") && !no_text.contains("424242"), "{no_text}");
    assert!(no_file.contains("/nonexistent/key can't be read"), "{no_file}");
    assert!(no_secret.contains("is empty"), "{no_secret}");
    assert!(misspelt.contains("did you mean `key`?") && !misspelt.contains("sk-live"), "{misspelt}");
}
