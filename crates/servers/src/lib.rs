//! Real servers of a test's own, to be stopped, killed, frozen and started again, and databases on one that runs. They end with their
//! guards. For tests only.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod database;
mod emulator;
mod postgres;
mod rabbitmq;
mod reserved;

pub use database::Database;
pub use emulator::Emulator;
pub use postgres::Postgres;
pub use rabbitmq::Broker;
pub use reserved::Reserved;

use std::process::{Child, Command, Stdio};

/// A signal to a process, by its name.
fn signal(name: &str, child: &Child) {
    assert!(signal_to(name, &child.id().to_string()), "kill -s {name}");
}

/// The same to any process, which may be gone; whether it was there.
fn signal_to(name: &str, process: &str) -> bool {
    Command::new("kill").args(["-s", name, process]).stderr(Stdio::null()).status().unwrap().success()
}
