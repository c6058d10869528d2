//! A database of one test on the PostgreSQL server; gone when dropped.

use std::process::{Command, Stdio};

/// See the head of this file.
pub(crate) struct OwnDatabase {
    server: String,
    name: String,
}

impl OwnDatabase {
    /// On the server that `DATABASE_URL` names, else on the one at the default port.
    pub(crate) fn create() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test runner names the server to use")]
        let server =
            std::env::var("DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("tandem_e2e_{}", domain::RequestId::generate().as_str().trim_start_matches("req_"));
        let made = Command::new("psql").args([&server, "-qc", &format!("create database {name}")]).status();
        assert!(made.is_ok_and(|status| status.success()), "no PostgreSQL at {server}; `make test` starts one");
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        let base = self.server.rsplit_once('/').map_or(self.server.as_str(), |(base, _)| base);
        format!("{base}/{}", self.name)
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        let sql = format!("drop database {} with (force)", self.name);
        // A server that went with its test took the database along.
        let _ = Command::new("psql").args([&self.server, "-qc", &sql]).stderr(Stdio::null()).status();
    }
}
