//! A caller's connection, as cheap as can be: callers are not what is measured, but what waits for their core is. HTTP/1.1, one
//! question at a time, always the same one.

use crate::Target;
use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use httparse::{EMPTY_HEADER, Response, Status};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// So many headers of an answer are understood.
const MOST_HEADERS: usize = 64;
/// Room for what comes at once.
const ROOM: usize = 4 * 1024;
/// What ends a body in chunks. Nothing else in a stream of events looks like it: no line of theirs is a zero.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// See the head of this file.
pub(crate) struct Connection {
    stream: TcpStream,
    question: Vec<u8>,
    buffer: BytesMut,
    /// So much of the buffer was handed out and is kept to find the last chunk.
    seen: usize,
}

/// How long the body of an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunks,
}

impl Connection {
    /// Connects, to ask for so many `tokens` each time.
    pub(crate) async fn open(target: &Target, tokens: u64, is_stream: bool) -> anyhow::Result<Self> {
        let authority = target.url.authority().context("the URL names no host")?;
        let stream = TcpStream::connect(authority.as_str()).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, question: target.question(tokens, is_stream), buffer: BytesMut::new(), seen: 0 })
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn ask(&mut self) -> anyhow::Result<()> {
        let Length::Bytes(length) = self.begin().await? else {
            anyhow::bail!("the answer does not say how long it is")
        };
        while self.buffer.len() < length {
            self.read().await?;
        }
        Ok(())
    }

    /// Asks, and reads the head of the answer.
    pub(crate) async fn ask_for_stream(&mut self) -> anyhow::Result<()> {
        let length = self.begin().await?;
        ensure!(length == Length::Chunks, "the answer is no stream: {length:?}");
        Ok(())
    }

    /// Shows the next bytes of a stream, the sizes of its chunks among them. Whether more will come.
    pub(crate) async fn next(&mut self, look: impl FnOnce(&[u8])) -> anyhow::Result<bool> {
        if self.buffer.len() == self.seen {
            self.read().await?;
        }
        look(&self.buffer[self.seen..]);
        let is_last = self.buffer.ends_with(LAST_CHUNK);
        self.seen = self.buffer.len().min(LAST_CHUNK.len() - 1);
        self.buffer.advance(self.buffer.len() - self.seen);
        Ok(!is_last)
    }

    /// Whether the stream has ended, or the connection.
    pub(crate) fn is_ended(&mut self) -> bool {
        loop {
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock || self.buffer.ends_with(LAST_CHUNK),
            }
        }
    }

    async fn begin(&mut self) -> anyhow::Result<Length> {
        self.buffer.clear();
        self.seen = 0;
        self.stream.write_all(&self.question).await?;
        loop {
            self.read().await?;
            if let Some((head, length)) = understand(&self.buffer)? {
                self.buffer.advance(head);
                return Ok(length);
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(ROOM);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        Ok(())
    }
}

/// How long the head of an answer is, and its body, once all of the head is there.
fn understand(bytes: &[u8]) -> anyhow::Result<Option<(usize, Length)>> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut answer = Response::new(&mut headers);
    let Status::Complete(head) = answer.parse(bytes)? else { return Ok(None) };
    let code = answer.code.unwrap_or_default();
    ensure!(code == 200, "answered {code}: {}", String::from_utf8_lossy(&bytes[head..]));
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.map(|header| anyhow::Ok(str::from_utf8(header.value)?.parse()?)).transpose()?;
    Ok(Some((head, length.map_or(Length::Chunks, Length::Bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is() {
        let understood = |text: &str| understand(text.as_bytes()).unwrap();

        assert_eq!(understood("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"), Some((39, Length::Bytes(12))));
        assert_eq!(understood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Some((47, Length::Chunks)));
        assert_eq!(understood("HTTP/1.1 200 OK\r\nContent-Le"), None);
    }

    #[test]
    fn an_answer_that_is_none_tells_why() {
        let error = understand(b"HTTP/1.1 503 Service Unavailable\r\n\r\nlater").unwrap_err();

        assert_eq!(error.to_string(), "answered 503: later");
    }
}
