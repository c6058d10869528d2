//! docs/kill-matrix.md, as the run has seen it.

use crate::{Row, cluster::Seen};
use std::{fmt::Write, path::Path, sync::Mutex};

const HEAD: &str = "# What happens when something breaks

Written by `make chaos`; do not edit. Each row is a test with real processes: an orchestrator, a gateway and three workers on PostgreSQL, and a simulated
vLLM. After each row an audit reads the output and error files: every input line has exactly one record in exactly one of them, in input order, and the
counts of the batch agree. \"Asked\" are the calls that the model server got for the lines: calls above the number of lines were made again. \"Told\" is
`usage.redone_requests`, the calls that the batch says were made again because a worker ended: never more than there were. Leases last 5 s in these tests
(30 s by default).

| what happens | what holds besides | lines | asked | answered in full | told | test | stands for |
|---|---|---|---|---|---|---|---|
";

const TAIL: &str = "
Other rows of the matrix are tests of `make test`, on the same kinds of servers:

| what happens | test |
|---|---|
| another kind of doorbell is switched to | `tests/it/doorbells.rs` |
| a doorbell loses, doubles, delays and reorders | `crates/queue/tests/it/rabbitmq.rs`, `worker/tests/it/faults.rs` |
| everything is killed ten times at random moments | `tests/it/kill.rs` |
| a line panics, or stops its worker, again and again | `worker/tests/it/faults.rs` |
| a segment has changed since it was written | `worker/tests/it/records.rs` |
| files with double ids, a byte order mark, CRLF, overlong lines, broken UTF-8 | `crates/store/tests/it`, `worker/tests/it/lines.rs` |
";

/// Collects what the rows saw.
#[derive(Default)]
pub(crate) struct Report(Mutex<String>);

impl Report {
    pub(crate) fn passed(&self, row: &Row, seen: Seen) {
        let Row { name, fault, holds, stands_for, .. } = row;
        let Seen { lines, asked, answered, redone } = seen;
        let mut rows = self.0.lock().unwrap();
        writeln!(rows, "| {fault} | {holds} | {lines} | {asked} | {answered} | {redone} | `{name}` | {stands_for} |")
            .unwrap();
    }

    pub(crate) fn write(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kill-matrix.md");
        std::fs::write(path, format!("{HEAD}{}{TAIL}", self.0.lock().unwrap())).unwrap();
    }
}
