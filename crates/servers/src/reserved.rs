//! Addresses that stay free until somebody listens there.

use socket2::{Domain, Socket, Type};
use std::{fmt, net::SocketAddr, ops::Deref};

/// An address on this machine where nobody listens, kept for whoever is told it. A socket that is bound but does not listen holds
/// it, as long as this lives: no connection and no other search for a free port gets it by chance, and on Linux a server that sets
/// `SO_REUSEADDR`, as servers do, binds it all the same, however often.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _socket: Socket,
}

impl Reserved {
    /// One that nobody uses.
    #[must_use]
    pub fn address() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }
}

impl Deref for Reserved {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.address
    }
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn nobody_listens_there_until_a_server_does_which_may_come_back() {
        let reserved = Reserved::address();

        for _ in 0..2 {
            assert!(TcpStream::connect(*reserved).is_err());
            let server = TcpListener::bind(*reserved).unwrap();
            assert!(TcpStream::connect(*reserved).is_ok());
            drop(server);
        }
    }
}
