//! A database of one test on a PostgreSQL server that runs; gone when dropped.

use std::process::{Command, Stdio};
use uuid::Uuid;

/// See the head of this file.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// On the server that `DATABASE_URL` names, else on the one at the default port. Its name begins with `prefix`.
    #[must_use]
    pub fn create(prefix: &str) -> Self {
        let server = std::env::var_os("DATABASE_URL").and_then(|url| url.into_string().ok());
        let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("{prefix}_{}", Uuid::now_v7().simple());
        let made = Command::new("psql").args([&server, "-qc", &format!("CREATE DATABASE {name}")]).status();
        assert!(made.is_ok_and(|status| status.success()), "no PostgreSQL at {server}; `make test` starts one");
        Self { server, name }
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A server that went with its test took the database along.
        let _ = Command::new("psql").args([&self.server, "-qc", &sql]).stderr(Stdio::null()).status();
    }
}
