//! Signed requests over connections that stay open. Requests are made and signed once, as bytes, and answers read as
//! little as they must be: whatever the load costs is missing in ombra, which runs on the same machine.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::sign::{Signable, sign};

use crate::Failure;

/// In development any key names the default account.
const ACCESS_KEY: &str = "ombra";

/// No answer that is waited for here is longer.
const MAX_ANSWER: usize = 64 * 1024;

/// One kept connection.
pub(crate) struct Line {
    stream: TcpStream,
    input: BytesMut,
}

/// The bytes of a signed request with a JSON body.
pub(crate) fn request(
    address: SocketAddr,
    service: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut headers: Vec<(String, String)> = headers.iter().map(own).collect();
    headers.push(("host".to_owned(), address.to_string()));
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(since).unwrap_or_default();
    let signable = Signable { method, path, query, headers: &headers, payload: body };
    let signature = sign(&signable, ACCESS_KEY, ACCESS_KEY, "us-east-1", service, now);
    headers.extend(signature);
    headers.push(("content-length".to_owned(), body.len().to_string()));
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        text.extend([&name, ": ", &value, "\r\n"]);
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

impl Line {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new() })
    }

    /// Sends a request and returns the body of its answer; anything but success is a failure.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<BytesMut, Failure> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((head, length)) = frame(&self.input)?
                && self.input.len() >= head + length
            {
                if !self.input.starts_with(b"HTTP/1.1 2") {
                    return Err(format!("ombra refused: {}", String::from_utf8_lossy(&self.input)).into());
                }
                self.input.advance(head);
                return Ok(self.input.split_to(length));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("ombra closed a connection".into());
            }
        }
    }
}

/// Bytes of the head of an answer and of its body, once the head is there.
fn frame(input: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&input[..end])?;
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = lengths.next().ok_or("an answer has no length")?;
    let length: usize = length.trim().parse()?;
    if length > MAX_ANSWER { Err("an answer is too long".into()) } else { Ok(Some((end + 4, length))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_framed_by_its_length() {
        let check = |input: &str, expected| assert_eq!(frame(input.as_bytes()).ok().flatten(), expected, "{input}");
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Some((38, 2)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n", None);
        assert!(frame(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
