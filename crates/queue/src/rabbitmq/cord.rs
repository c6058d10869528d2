//! The socket under a connection, held so that it can be closed whatever the client is waiting for. The client would keep a
//! thread and a socket for as long as a host that accepts connections says nothing.

use parking_lot::Mutex;
use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::Arc,
};

/// Closes the socket when it is dropped, or as soon as there is one.
#[derive(Default)]
pub(super) struct Cord(Arc<Mutex<End>>);

/// Fastens the socket to a [`Cord`].
#[derive(Clone)]
pub(super) struct Knot(Arc<Mutex<End>>);

#[derive(Default)]
enum End {
    #[default]
    Loose,
    Fast(TcpStream),
    Cut,
}

impl Cord {
    /// To be tied to the socket once there is one.
    pub(super) fn knot(&self) -> Knot {
        Knot(Arc::clone(&self.0))
    }
}

impl Drop for Cord {
    fn drop(&mut self) {
        if let End::Fast(socket) = std::mem::replace(&mut *self.0.lock(), End::Cut) {
            // One that is closed already is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Knot {
    /// Fastens the socket of a stream. Fails when the cord was cut meanwhile.
    pub(super) fn tie<S: AsFd>(&self, socket: &S) -> io::Result<()> {
        let mut end = self.0.lock();
        if matches!(*end, End::Cut) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        *end = End::Fast(TcpStream::from(socket.as_fd().try_clone_to_owned()?));
        Ok(())
    }
}
