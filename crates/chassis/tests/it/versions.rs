//! Which HTTP is spoken, told from the first bytes.

use crate::client::{Answer, Connection, Server};
use axum::{Router, body::Body, routing::post};
use http::{Request, StatusCode, Version};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::net::TcpStream;

async fn server() -> Server {
    let echo = async |version: Version, body: String| format!("{version:?} {body}");
    Server::start(Router::new().route("/", post(echo)), Duration::from_secs(30)).await
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let server = server().await;
    let mut client = Connection::open(server.addr).await;

    for byte in b"POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi" {
        client.write(&[*byte]).await;
        tokio::task::yield_now().await;
    }

    let answer = Answer(client.read_to_end().await);
    assert_eq!(answer.status(), 200);
    assert!(answer.0.ends_with("HTTP/1.1 hi"), "{}", answer.0);
}

#[tokio::test]
async fn http2_is_known_by_its_preface() {
    let server = server().await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);

    let request = Request::post("http://t/").body(Body::from("hi")).unwrap();
    let answer = client.send_request(request).await.unwrap();

    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_preface_may_come_in_parts() {
    let server = server().await;
    let mut client = Connection::open(server.addr).await;

    client.write(b"PR").await;
    tokio::task::yield_now().await;
    client.write(b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;

    // The server's own settings, the first frame of HTTP/2 (RFC 9113, section 3.4): its type is the fourth byte.
    let frame = client.read_until("\x04").await;
    assert!(!frame.contains("HTTP/1.1"), "{frame}");
}

#[tokio::test]
async fn a_caller_who_leaves_amid_the_first_bytes_leaves_no_connection_behind() {
    let server = server().await;
    for first in ["", "P", "PRI"] {
        let mut client = Connection::open(server.addr).await;
        client.write(first.as_bytes()).await;

        client.finish().await;

        assert_eq!(client.read_to_end().await, "", "after {first:?}");
    }
}
