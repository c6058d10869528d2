//! One process per embedded data folder: two would fight over one SQLite file.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use store::DataSettings;

/// Held for as long as the process lives; `None` when the state is in a database server.
pub(super) fn data_folder(settings: &DataSettings) -> anyhow::Result<Option<File>> {
    if !settings.database_url.is_empty() {
        return Ok(None);
    }
    let folder = settings.absolute_dir();
    std::fs::create_dir_all(&folder).with_context(|| format!("can't make the data folder {}", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't write to the data folder {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "another tandem uses {} already. Stop it, give this one its own folder (TANDEM__DATA__DIR), \
             or set TANDEM__DATA__DATABASE_URL to PostgreSQL, which many processes can share",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).context(format!("can't lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let settings = DataSettings { dir: folder.path().to_owned(), ..DataSettings::default() };

        let first = data_folder(&settings).unwrap();
        let second = data_folder(&settings).unwrap_err().to_string();
        drop(first);

        assert!(second.contains("TANDEM__DATA__DIR"), "{second}");
        assert!(data_folder(&settings).is_ok());
    }
}
