//! Opening a port, and saying what to do when it can't be opened.

use domain::{Error, Result};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};
use tokio::net::TcpListener;

/// Listens on `addr`.
///
/// # Errors
/// `Unavailable`, with the way out in its text.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| Error::unavailable(explain(addr, &error)).with_source(error))
}

fn explain(addr: SocketAddr, error: &io::Error) -> String {
    let (ip, port) = (addr.ip(), addr.port());
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "port {port} is taken: another process listens on {addr}. Stop it (`ss -ltnp 'sport = :{port}'` names it) \
             or set another `bind` address, such as {ip}:{}; port 0 picks a free one",
            port.checked_add(1).unwrap_or(0)
        ),
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges that this process does not have: set a `bind` port of 1024 or more")
        }
        ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {ip}: set `bind` to one it has, 127.0.0.1:{port} for this machine only or \
             0.0.0.0:{port} for every interface"
        ),
        _ => format!("can't listen on {addr}: {error}"),
    }
}
