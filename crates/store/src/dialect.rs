//! What PostgreSQL and SQLite spell differently. SQL is written once, in PostgreSQL's words plus `now_ms()`.

/// Which database is on the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// Reads the scheme of a database URL.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// The statement in this database's words. SQLite has one writer, so row locks have no meaning there.
    pub(crate) fn render(self, sql: &str) -> String {
        match self {
            Self::Postgres => {
                sql.replace("now_ms()", "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)")
            }
            Self::Sqlite => sql
                .replace(" FOR UPDATE OF s SKIP LOCKED", "")
                .replace(" FOR UPDATE SKIP LOCKED", "")
                .replace(" FOR UPDATE", "")
                .replace(" FOR NO KEY UPDATE", "")
                .replace(" FOR KEY SHARE", "")
                .replace("jsonb_array_elements_text(CAST($1 AS jsonb))", "value FROM json_each($1)")
                .replace("now_ms()", "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_gets_no_row_locks() {
        let sql = Dialect::Sqlite.render("SELECT id FROM bells LIMIT 1 FOR UPDATE SKIP LOCKED");

        assert_eq!(sql, "SELECT id FROM bells LIMIT 1");
    }

    #[test]
    fn unknown_schemes_have_no_dialect() {
        assert_eq!(Dialect::of_url("mysql://h/d"), None);
        assert_eq!(Dialect::of_url("no url"), None);
    }
}
