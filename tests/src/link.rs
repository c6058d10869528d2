//! The way from a process to a server: a TCP proxy that can be cut, go silent, or be slow, and be made whole again.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

const PIECE_BYTES: usize = 64 << 10;

/// See the head of this file. Ends when it is dropped.
pub struct Link {
    address: SocketAddr,
    server: Arc<watch::Sender<String>>,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Whole, but what the process sends arrives so much later.
    Slow(Duration),
    /// Whole until the process sends these words.
    Until(&'static str),
    /// Whole until the process has sent these words: the server hears them, and the process never hears what became of them.
    UntilSent(&'static str),
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
        let state = Arc::new(watch::Sender::new(State::Whole));
        let server = Arc::new(watch::Sender::new(server));
        let task = tokio::spawn(listen(listener, Arc::clone(&server), Arc::clone(&state)));
        Self { address, server, state, task }
    }

    /// New connections reach this server from now on.
    pub fn turn_to(&self, server: String) {
        self.server.send_replace(server);
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

    /// Whatever the process sends from now on arrives `later`.
    pub fn slow_down(&self, later: Duration) {
        self.state.send_replace(State::Slow(later));
    }

    /// Each is gone for the other, and nobody is told: as with a firewall that drops packets, or a host without power.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// The same as soon as the process is about to send `words`; the server does not get them.
    pub fn fall_silent_at(&self, words: &'static str) {
        self.state.send_replace(State::Until(words));
    }

    /// The same as soon as the process has sent `words`: the server gets them, and its answer is lost.
    pub fn lose_the_answer_to(&self, words: &'static str) {
        self.state.send_replace(State::UntilSent(words));
    }

    /// Waits until it has fallen silent.
    pub async fn silence(&self) {
        self.state.subscribe().wait_for(|state| *state == State::Silent).await.expect("it has a state");
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

async fn listen(listener: TcpListener, server: Arc<watch::Sender<String>>, state: Arc<watch::Sender<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let server = server.borrow().clone();
        connections.spawn(carry(client, server, Arc::clone(&state)));
    }
}

/// How the carrying of one connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// One of both ends closed it, or the link was cut.
    Closed,
    Silent,
}

/// Carries one connection. How it ended, both ends see for themselves.
async fn carry(client: TcpStream, server: String, state: Arc<watch::Sender<State>>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut client, mut server) = (client.into_split(), server.into_split());
    let carried = async {
        tokio::select! {
            end = send(&mut client.0, &mut server.1, &state) => end,
            done = copy(&mut server.0, &mut client.1) => done.map(|_bytes| End::Closed),
        }
    };
    let mut news = state.subscribe();
    let disturbed = news.wait_for(|state| matches!(state, State::Cut | State::Silent));
    let end = tokio::select! {
        biased;
        state = disturbed => match state {
            Ok(state) if *state == State::Silent => End::Silent,
            _ => End::Closed,
        },
        end = carried => end?,
    };
    if end == End::Silent {
        // Keeps both ends open for as long as the link exists.
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Falls silent by its own decision: a link that is restored at once may never show the state to this connection.
async fn send(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &watch::Sender<State>) -> io::Result<End> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(End::Closed);
        }
        let now = *state.borrow();
        let is_about = |words: &str| piece[..read].windows(words.len()).any(|window| window == words.as_bytes());
        if matches!(now, State::Until(words) if is_about(words)) {
            break;
        }
        if let State::Slow(later) = now {
            sleep(later).await;
        }
        to.write_all(&piece[..read]).await?;
        if matches!(now, State::UntilSent(words) if is_about(words)) {
            break;
        }
    }
    state.send_replace(State::Silent);
    Ok(End::Silent)
}
