//! The catalog file, followed while the process runs: a good change is taken as a whole, a bad one changes nothing.

use crate::{
    Router,
    catalog::Catalog,
    catalog_file::{parse, unreadable},
    settings::ModelsSettings,
};
use chassis::drain::Drain;
use domain::Result;
use opentelemetry::{global, metrics::Counter};
use std::time::Duration;

/// Follows the catalog file, of which `text` is in use, until `drain` begins. It compares content, not times: a mounted volume
/// may swap the whole folder beneath the file.
///
/// # Errors
/// None: a file that can't be used is reported, and the last good one stays in use.
pub(crate) async fn follow(models: ModelsSettings, text: String, router: Router, drain: Drain) -> Result<()> {
    let failures = global::meter("tandem")
        .u64_counter("tandem.catalog.reload.failures")
        .with_description("Changed catalogs that could not be used.")
        .build();
    let pause = Duration::from_millis(models.reload_ms);
    let mut follower = Follower { models, router, last: Some(text), failures };
    loop {
        tokio::select! {
            () = drain.begun() => return Ok(()),
            () = tokio::time::sleep(pause) => follower.look().await,
        }
    }
}

struct Follower {
    models: ModelsSettings,
    router: Router,
    /// The file as it was at the last look; `None` when it could not be read.
    last: Option<String>,
    failures: Counter<u64>,
}

impl Follower {
    async fn look(&mut self) {
        let read = tokio::fs::read_to_string(&self.models.file).await;
        let now = read.as_ref().ok().cloned();
        if now == self.last {
            return;
        }
        self.last = now;
        let read = read.map_err(|error| unreadable(&self.models, error));
        match read.and_then(|text| parse(&self.models, &text)) {
            Ok(catalog) => self.take(catalog),
            Err(error) => {
                self.failures.add(1, &[]);
                tracing::error!(error = %error.chain(), "the changed catalog can't be used; the last good one stays");
            }
        }
    }

    fn take(&self, catalog: Catalog) {
        tracing::info!(models = catalog.models.len(), "the catalog {} was read again", self.models.file.display());
        self.router.swap(catalog);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelBackend, UpstreamClient, read_catalog};
    use std::path::Path;

    fn write(file: &Path, name: &str) {
        let text = format!(
            "[[model]]\nname = \"{name}\"\n[[model.deployment]]\nname = \"d\"\nurl = \"http://127.0.0.1:1/v1\"\nupstream_model = \"u\"\n"
        );
        std::fs::write(file, text).unwrap();
    }

    fn follower(file: &Path) -> Follower {
        let models = ModelsSettings { file: file.to_owned(), ..ModelsSettings::default() };
        let router = Router::new(read_catalog(&models).unwrap(), UpstreamClient::new(), &models);
        let failures = global::meter("test").u64_counter("failures").build();
        Follower { last: std::fs::read_to_string(file).ok(), models, router, failures }
    }

    async fn names(follower: &Follower) -> Vec<String> {
        follower.router.models().await.unwrap().into_iter().map(|model| model.id).collect()
    }

    #[tokio::test]
    async fn a_changed_catalog_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("models.toml");
        write(&file, "old");
        let mut follower = follower(&file);

        write(&file, "new");
        follower.look().await;

        assert_eq!(names(&follower).await, ["new"]);
    }

    #[tokio::test]
    async fn a_bad_or_vanished_catalog_changes_nothing_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("models.toml");
        write(&file, "old");
        let mut follower = follower(&file);

        std::fs::write(&file, "[[model]]\nnmae = 1\n").unwrap();
        follower.look().await;
        std::fs::remove_file(&file).unwrap();
        follower.look().await;
        let meanwhile = names(&follower).await;
        write(&file, "mended");
        follower.look().await;

        assert_eq!(meanwhile, ["old"]);
        assert_eq!(names(&follower).await, ["mended"]);
    }
}
