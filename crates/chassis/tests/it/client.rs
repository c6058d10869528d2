//! A server on a free port and a client that speaks bytes, so that no library tidies anything up.

use axum::Router;
use chassis::drain::Drain;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) task: JoinHandle<domain::Result<()>>,
}

impl Server {
    pub(crate) async fn start(router: Router, grace: Duration) -> Self {
        let listener = chassis::http::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let drain = Drain::new(grace);
        let task = tokio::spawn(chassis::http::serve(listener, router, drain.clone()));
        Self { addr, drain, task }
    }

    /// Sends one request without a body and reads the whole answer.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n").as_bytes()).await
    }

    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        let mut connection = Connection::open(self.addr).await;
        connection.write(bytes).await;
        Answer(connection.read_to_end().await)
    }
}

pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads until `mark` has come.
    pub(crate) async fn read_until(&mut self, mark: &str) -> String {
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while !text.contains(mark) {
            let count = self.0.read(&mut chunk).await.unwrap();
            assert!(count > 0, "closed before {mark}: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        text
    }

    /// Reads until the server closes, however it does so.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub(crate) struct Answer(pub(crate) String);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let body = self.0.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {}", self.0))
    }
}
