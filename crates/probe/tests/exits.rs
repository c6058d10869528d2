//! What the exit code says.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

fn probe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probe")).args(arguments).output().expect("it runs")
}

/// The address of a server that gives one answer.
fn server(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let read = stream.read(&mut [0; 1024]).expect("a request");
        assert!(read > 0);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\nconnection: close\r\n\r\nbody\n");
        stream.write_all(answer.as_bytes()).expect("it is read");
    });
    url
}

#[test]
fn a_success_is_printed() {
    let done = probe(&[&server("200 OK")]);

    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(0), b"body\n".as_slice()), "{done:?}");
}

#[test]
fn a_server_that_is_not_ready_is_a_failure() {
    let done = probe(&[&server("503 Service Unavailable")]);

    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("answers 503"), "{done:?}");
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");

    assert_eq!(probe(&[&format!("http://{gone}/")]).status.code(), Some(1));
}

#[test]
fn anything_but_one_address_is_a_mistake() {
    assert_eq!(probe(&[]).status.code(), Some(2));
    assert_eq!(probe(&["http://127.0.0.1:1/", "http://127.0.0.1:2/"]).status.code(), Some(2));
}
