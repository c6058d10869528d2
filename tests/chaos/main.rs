//! `make chaos`: real processes and servers, and everything that happens to them. Each row of the failure matrix is a test; after each
//! an audit reads the files of the batch and shows that every line has exactly one record. The run writes docs/kill-matrix.md.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise and says what it counted"
)]

mod broker;
mod clock;
mod cluster;
mod database;
mod endings;
mod gateway;
mod model;
mod report;
mod storage;
mod tenants;
mod workers;

use cluster::Seen;
use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Trial};
use report::Report;
use std::{process::ExitCode, sync::Arc};

/// One fault of the matrix.
pub(crate) struct Row {
    /// The test's name.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) fault: &'static str,
    /// What has to hold beside that every line has exactly one record in input order.
    pub(crate) holds: &'static str,
    /// The failures of the field that it stands for, by their numbers in the catalogue of the design.
    pub(crate) stands_for: &'static str,
    pub(crate) run: fn() -> LocalBoxFuture<'static, Seen>,
}

/// Makes the rows of a module: name, fault, what holds, what it stands for.
macro_rules! rows {
    ($($name:ident, $fault:literal, $holds:literal, $stands_for:literal;)*) => {
        pub(crate) fn rows() -> Vec<$crate::Row> {
            vec![$($crate::Row {
                name: stringify!($name),
                fault: $fault,
                holds: $holds,
                stands_for: $stands_for,
                run: || Box::pin($name()),
            }),*]
        }
    };
}
pub(crate) use rows;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // What one row breaks must not be another one's.
    arguments.test_threads = Some(1);
    let report = Arc::new(Report::default());
    let modules = [
        workers::rows(),
        broker::rows(),
        database::rows(),
        storage::rows(),
        model::rows(),
        endings::rows(),
        gateway::rows(),
        tenants::rows(),
        clock::rows(),
    ];
    let trials = modules.into_iter().flatten().map(|row| {
        let report = report.clone();
        Trial::test(row.name, move || {
            let runtime = tokio::runtime::Runtime::new()?;
            let seen = runtime.block_on((row.run)());
            println!("{}: {seen}", row.name);
            report.passed(&row, seen);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // A part of the rows is no matrix.
    if !conclusion.has_failed() && conclusion.num_filtered_out == 0 && !arguments.list {
        report.write();
    }
    conclusion.exit_code()
}
