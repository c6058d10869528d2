//! `models.toml` on disk, and what to say when it can't be read or used.

use crate::{catalog::Catalog, settings::ModelsSettings};
use domain::{Error, Result};

/// Reads the catalog file.
///
/// # Errors
/// When it can't be read, or with everything that is wrong in it.
pub fn read_catalog(models: &ModelsSettings) -> Result<Catalog> {
    parse(models, &read(models)?)
}

pub(crate) fn read(models: &ModelsSettings) -> Result<String> {
    std::fs::read_to_string(&models.file).map_err(|error| unreadable(models, error))
}

pub(crate) fn unreadable(models: &ModelsSettings, error: std::io::Error) -> Error {
    let path = models.file.display();
    Error::invalid(format!("can't read the catalog {path} (models.file): {error}")).with_source(error)
}

pub(crate) fn parse(models: &ModelsSettings, text: &str) -> Result<Catalog> {
    let path = models.file.display();
    Catalog::parse(text).map_err(|error| Error::invalid(format!("{path} can't be used: {error}")).with_source(error))
}
