//! `tandem keys` on a fresh SQLite file.

use std::process::{Command, Output};
use store::{AuditQuery, Store};
use tempfile::TempDir;

/// A folder with its own database.
struct Site(TempDir);

/// What a command said.
struct Said {
    is_success: bool,
    out: String,
    err: String,
}

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn keys(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.current_dir(self.0.path()).env_clear().arg("keys").args(arguments);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { is_success: status.success(), out: text(stdout), err: text(stderr) }
    }

    /// Makes a key and gives its id and secret.
    fn create(&self, arguments: &[&str]) -> (String, String) {
        self.keys(&[&["create"], arguments].concat()).id_and_secret()
    }

    fn list(&self) -> String {
        self.keys(&["list"]).out
    }

    /// Every byte that the database holds.
    fn database(&self) -> Vec<u8> {
        let file = |name: &str| std::fs::read(self.0.path().join("data").join(name)).unwrap_or_default();
        [file("tandem.db"), file("tandem.db-wal")].concat()
    }

    async fn store(&self) -> Store {
        Store::open(&format!("sqlite://{}", self.0.path().join("data/tandem.db").display())).await.unwrap()
    }
}

impl Said {
    fn id_and_secret(&self) -> (String, String) {
        assert!(self.is_success, "{}", self.err);
        let [id, secret] = self.out.lines().take(2).collect::<Vec<_>>()[..] else { panic!("{}", self.out) };
        assert!(id.starts_with("key_") && secret.starts_with("tdm_"), "{}", self.out);
        (id.to_owned(), secret.to_owned())
    }

    /// A refusal whose text has all of these.
    fn is_refused_with(&self, parts: &[&str]) {
        assert!(!self.is_success, "{}", self.out);
        assert!(parts.iter().all(|part| self.err.contains(part)), "{parts:?}: {}", self.err);
        assert!(!self.err.contains("tdm_") && !self.err.contains("panicked"), "{}", self.err);
    }
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let site = Site::new();

    let (id, secret) = site.create(&["ci", "--note", "nightly"]);

    let list = site.list();
    assert!(list.contains(&id) && list.contains("ci") && !list.contains(&secret), "{list}");
    let random = secret.rsplit('_').next().unwrap().as_bytes();
    let database = site.database();
    let holds = |text: &[u8]| database.windows(text.len()).any(|bytes| bytes == text);
    assert!(holds(id.as_bytes()) && !holds(random));
}

#[test]
fn a_key_is_what_was_asked_for() {
    let site = Site::new();

    site.create(&["wide", "--admin"]);
    site.create(&["narrow", "--tenant", "acme", "--scopes", "usage,inference", "--models", "a,b", "--expires", "30d"]);
    site.create(&["usual"]);

    let list = site.list();
    let line = |name: &str| list.lines().find(|line| line.ends_with(name)).unwrap();
    assert!(line("wide").contains("inference,files,batches,usage,admin") && line("wide").contains("every model"));
    assert!(line("narrow").contains("inference,usage  a,b") && line("narrow").contains("active"));
    assert!(!line("usual").contains("admin"));
    let of_acme = site.keys(&["list", "--tenant", "acme"]).out;
    assert!(of_acme.contains("narrow") && of_acme.lines().count() == 1, "{of_acme}");
}

#[test]
fn a_key_with_an_end_is_told_as_expired_after_it() {
    let site = Site::new();
    site.create(&["short", "--expires", "1ms"]);

    let is_expired = || site.list().contains("expired");

    assert!((0..100).any(|_| is_expired()), "{}", site.list());
}

#[test]
fn a_rotation_shows_another_secret_of_the_same_key() {
    let site = Site::new();
    let (id, first) = site.create(&["ci"]);

    let rotated = site.keys(&["rotate", &id, "--overlap", "1h"]);

    let (same, second) = rotated.id_and_secret();
    assert!(same == id && second != first);
    assert!(rotated.out.contains("The one before works until 2"), "{}", rotated.out);
    assert_eq!(site.list().lines().count(), 1);
}

#[test]
fn a_revoked_key_stays_in_the_list_and_is_changed_no_more() {
    let site = Site::new();
    let (id, _) = site.create(&["ci"]);

    let revoked = site.keys(&["revoke", &id]);

    assert!(revoked.is_success && revoked.out.contains(&id), "{}", revoked.err);
    assert!(site.list().contains("revoked"));
    for again in ["revoke", "rotate"] {
        site.keys(&[again, &id]).is_refused_with(&["no active key", &id, "tandem keys list"]);
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_made() {
    let site = Site::new();
    let long = "a".repeat(257);

    for (arguments, parts) in [
        (&["create", "ci", "--scopes", "root"][..], &["`root`", "inference files batches usage admin"][..]),
        (&["create", "ci", "--admin", "--scopes", "usage"], &["--admin", "--scopes"]),
        (&["create", "ci", "--expires", "forever"], &["--expires", "30d"]),
        (&["create", "ci", "--expires", "0s"], &["--expires", "never work"]),
        (&["create", ""], &["NAME", "empty"]),
        (&["create", "two\nlines"], &["NAME", "more than one line"]),
        (&["create", &long], &["NAME", "256 characters"]),
        (&["create", "ci", "--tenant", ""], &["--tenant", "empty"]),
        (&["create", "ci", "--models", "a,,b"], &["--models", "empty"]),
        (&["create", "ci", "--note", "bell\u{7}"], &["--note", "control characters"]),
        (&["rotate", "key_unknown"], &["key_unknown", "tandem keys list"]),
        (&["rotate", "key_unknown", "--overlap", "31d"], &["--overlap", "30d"]),
        (&["revoke", "key_unknown"], &["key_unknown", "tandem keys list"]),
        (&["list", "--tenant", "nobody"], &["`nobody`"]),
    ] {
        site.keys(arguments).is_refused_with(parts);
    }
    assert_eq!(site.list(), "");
}

#[tokio::test]
async fn every_change_is_on_record_as_made_at_the_command_line() {
    let site = Site::new();
    let (id, secret) = site.create(&["ci", "--tenant", "acme"]);
    site.keys(&["rotate", &id]);
    site.keys(&["revoke", &id]);

    let (records, _) = site.store().await.list_audit(&AuditQuery::default(), None, 100).await.unwrap();

    let actions: Vec<_> = records.iter().rev().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["tenant.create", "key.create", "key.rotate", "key.revoke"]);
    assert!(records.iter().all(|record| record.actor == "cli"));
    assert!(!format!("{records:?}").contains(&secret));
}

#[tokio::test]
async fn a_disabled_tenant_gets_no_key() {
    let site = Site::new();
    site.create(&["ci", "--tenant", "acme"]);
    let store = site.store().await;
    let tenant = store.active_tenants().await.unwrap().remove(0).id;
    let off = store::TenantPatch { is_disabled: Some(true), ..store::TenantPatch::default() };
    store.patch_tenant(&store::Author::cli(), &tenant, &off).await.unwrap();

    site.keys(&["create", "late", "--tenant", "acme"]).is_refused_with(&["`acme`", "disabled", "enable"]);

    assert_eq!(site.list().lines().count(), 1);
}
