//! The way from a process to a server: a TCP proxy that can be cut, or go silent, and be made whole again.

use std::{io, net::SocketAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// See the head of this file. Ends when it is dropped.
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections break, and new ones break at once.
    Cut,
    /// Connections stay and carry nothing any more, new ones neither: not even later.
    Silent,
}

impl Link {
    /// A link to `server`, `host:port`.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = watch::Sender::new(State::Whole);
        let task = tokio::spawn(listen(listener, server, state.subscribe()));
        Self { address, state, task }
    }

    /// Where the process has to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server is gone, and the process is told.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// The server is gone, and nobody is told: as with a firewall that drops packets, or a host without power.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// New connections reach the server again.
    pub fn restore(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, server.clone(), state.clone()));
    }
}

async fn carry(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let carried = async {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        io::Result::Ok(())
    };
    let disturbed = async { state.wait_for(|state| *state != State::Whole).await.map(|state| *state) };
    let disturbed = tokio::select! {
        biased;
        disturbed = disturbed => disturbed,
        // The process sees for itself how it ended.
        _ = carried => return,
    };
    if matches!(disturbed, Ok(State::Silent)) {
        // Keeps its end open for as long as the link exists.
        std::future::pending::<()>().await;
    }
}
