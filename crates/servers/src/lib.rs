//! Real servers of a test's own, to be stopped, killed, frozen and started again. They end with their guards. For tests only.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod emulator;
mod rabbitmq;

pub use emulator::Emulator;
pub use rabbitmq::Broker;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
};

/// A signal to a process, by its name.
fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill -s {name}");
}

/// An address on this machine that nobody listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
