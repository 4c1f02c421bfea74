//! A WebSocket as a stream of bytes: what comes in binary frames is read one after the other, what is written goes out
//! in binary frames [MQTT-6.0.0-2]. Pings are answered, and how the WebSocket ended is told as an error of reading. It
//! knows nothing of what the bytes mean.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker::Closed;
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use mqtt::ReasonCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes of the largest message a client may send, and of a frame of it: room for three of the largest packets.
const MESSAGE: usize = 512 * 1024;

/// Bytes of the largest frame we send.
const FRAME: usize = 64 * 1024;

/// Bytes that are read at a time; each connection holds as many.
const CHUNK: usize = 4 * 1024;

/// How a WebSocket ended that did not just break; the error of reading says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The client sent a close frame.
    ByClient,
    /// Its time is up.
    Expired,
    /// The client broke the rules of WebSockets, or those of MQTT for them.
    Broken(&'static str),
}

impl Ending {
    /// What an error of reading says.
    fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// How a session ends whose stream could not be read for this error. A clean close is as good as a DISCONNECT
/// (mqtt.md §5); of any other stream than a WebSocket nothing is known but that it broke.
pub(crate) fn closed(error: &io::Error) -> Closed {
    match Ending::of(error) {
        Some(Ending::ByClient) => Closed::ByClient { with_will: false },
        Some(Ending::Expired) => Closed::Expired,
        Some(Ending::Broken(what)) => {
            Closed::ClientError { reason: ReasonCode::ProtocolError, message: what.to_owned() }
        }
        None => Closed::ConnectionLost,
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByClient => "the client closed the WebSocket",
            Self::Expired => "the WebSocket's time is up",
            Self::Broken(what) => what,
        })
    }
}

impl std::error::Error for Ending {}

/// The stream.
pub(crate) struct Framed<S> {
    socket: WebSocketStream<S>,
    unread: Bytes,
    ends: Option<Pin<Box<Sleep>>>,
    goodbye: Goodbye,
    /// The client has sent its close frame, and takes nothing more.
    left: bool,
}

/// How far we are with closing.
#[derive(Clone, Copy)]
enum Goodbye {
    /// Not begun; what the close frame will say.
    NotYet(CloseCode),
    /// The close frame is on its way.
    Said,
    /// It is out, and the client's is awaited, so that nothing of it is lost.
    Heard,
    /// Nothing is left but to end the stream below.
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Takes up a stream after the WebSocket's handshake, of which this much has been read already.
    pub(crate) async fn new(stream: S, read: Bytes, lasts: Option<Duration>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(CHUNK)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * FRAME)
            .max_frame_size(Some(MESSAGE))
            .max_message_size(Some(MESSAGE));
        let socket = WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config)).await;
        let ends = lasts.map(|lasts| Box::pin(sleep(lasts)));
        Self { socket, unread: Bytes::new(), ends, goodbye: Goodbye::NotYet(CloseCode::Normal), left: false }
    }

    fn end(&mut self, code: CloseCode, ending: Ending) -> io::Error {
        self.goodbye = Goodbye::NotYet(code);
        io::Error::other(ending)
    }

    /// Whether something was read: a message, or what ends the stream.
    fn take(&mut self, message: Option<Result<Message, Error>>) -> io::Result<Taken> {
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                self.unread = bytes;
                Ok(Taken::Something)
            }
            // The library has answered a ping already.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Taken::Something),
            Some(Ok(Message::Close(_))) => {
                self.left = true;
                Err(self.end(CloseCode::Normal, Ending::ByClient))
            }
            Some(Ok(Message::Text(_)) | Err(Error::Utf8(_))) => {
                // [MQTT-6.0.0-1]
                Err(self.end(CloseCode::Unsupported, Ending::Broken("a text frame; MQTT comes in binary frames")))
            }
            Some(Err(Error::Capacity(_))) => {
                Err(self.end(CloseCode::Size, Ending::Broken("a WebSocket message of more than 512 KB")))
            }
            Some(Err(Error::Io(error))) => Err(error),
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => Ok(Taken::End),
            Some(Err(_)) => Err(self.end(CloseCode::Protocol, Ending::Broken("a frame that is no WebSocket frame"))),
        }
    }
}

enum Taken {
    Something,
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Framed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.unread.has_remaining() {
                let count = this.unread.len().min(buf.remaining());
                buf.put_slice(&this.unread.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if let Some(ends) = &mut this.ends
                && ends.as_mut().poll(cx).is_ready()
            {
                this.ends = None;
                return Poll::Ready(Err(this.end(CloseCode::Policy, Ending::Expired)));
            }
            let message = ready!(Pin::new(&mut this.socket).poll_next(cx));
            if let Taken::End = this.take(message)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.left {
            return Poll::Ready(Ok(buf.len()));
        }
        let mut socket = Pin::new(&mut this.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
        let count = buf.len().min(FRAME);
        let frame = Message::Binary(Bytes::copy_from_slice(&buf[..count]));
        Poll::Ready(socket.start_send(frame).map(|()| count).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.goodbye = match this.goodbye {
                Goodbye::NotYet(code) => {
                    let frame = CloseFrame { code, reason: "".into() };
                    // Where the client was first, our answer is on its way already and this is refused.
                    let _ = Pin::new(&mut this.socket).start_send(Message::Close(Some(frame)));
                    Goodbye::Said
                }
                // A stream that breaks now has nothing more to be told.
                Goodbye::Said => match ready!(Pin::new(&mut this.socket).poll_flush(cx)) {
                    Ok(()) => Goodbye::Heard,
                    Err(_) => Goodbye::Done,
                },
                Goodbye::Heard => match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                    Some(Ok(_)) => Goodbye::Heard,
                    Some(Err(_)) | None => Goodbye::Done,
                },
                Goodbye::Done => return Pin::new(this.socket.get_mut()).poll_shutdown(cx),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Both ends; what is on the way is bounded, as on a real stream.
    async fn pair(lasts: Option<Duration>) -> (WebSocketStream<DuplexStream>, Framed<DuplexStream>) {
        let (ours, theirs) = duplex(100);
        let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        (client, Framed::new(ours, Bytes::new(), lasts).await)
    }

    fn binary(bytes: &'static [u8]) -> Message {
        Message::Binary(Bytes::from_static(bytes))
    }

    async fn ending(server: &mut Framed<DuplexStream>) -> Option<Ending> {
        let error = server.read_u8().await.unwrap_err();
        Ending::of(&error)
    }

    #[tokio::test]
    async fn frames_are_read_as_one_stream_and_pings_are_answered() {
        let (mut client, mut server) = pair(None).await;
        for message in [binary(b"ab"), binary(b""), Message::Ping(Bytes::from_static(b"?")), binary(b"cde")] {
            client.send(message).await.unwrap();
        }
        let mut read = [0; 5];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"abcde");
        let reading = async { assert_eq!(server.read_u8().await.unwrap(), b'.') };
        let (answer, ()) = tokio::join!(
            async {
                let answer = client.next().await;
                client.send(binary(b".")).await.unwrap();
                answer
            },
            reading
        );
        assert_eq!(answer.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"?")));
    }

    #[tokio::test]
    async fn what_is_written_goes_out_in_frames_of_bounded_size() {
        let (mut client, mut server) = pair(None).await;
        let sent = vec![7; FRAME * 2 + 1];
        let writing = async {
            server.write_all(&sent).await.unwrap();
            server.flush().await.unwrap();
        };
        let reading = async {
            let mut sizes = Vec::new();
            while sizes.iter().sum::<usize>() < sent.len() {
                sizes.push(client.next().await.unwrap().unwrap().into_data().len());
            }
            sizes
        };
        assert_eq!(tokio::join!(writing, reading).1, [FRAME, FRAME, 1]);
    }

    #[tokio::test]
    async fn a_close_frame_is_answered_and_told_from_a_broken_connection() {
        let (mut client, mut server) = pair(None).await;
        client.send(Message::Close(None)).await.unwrap();
        assert_eq!(ending(&mut server).await, Some(Ending::ByClient));
        // What still waited for the client goes nowhere, and is no failure.
        server.write_all(b"late").await.unwrap();
        let (answer, shut) = tokio::join!(client.next(), server.shutdown());
        assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
        shut.unwrap();

        let (client, mut server) = pair(None).await;
        drop(client);
        assert_eq!(ending(&mut server).await, None);
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_closed_with_its_code() {
        let large = Message::Binary(Bytes::from(vec![0; MESSAGE + 1]));
        for (message, code) in [(Message::text("x"), CloseCode::Unsupported), (large, CloseCode::Size)] {
            let (mut client, mut server) = pair(None).await;
            let serving = async {
                let ending = ending(&mut server).await;
                assert!(matches!(ending, Some(Ending::Broken(_))), "{ending:?}");
                let _ = server.shutdown().await;
            };
            let calling = async {
                let _ = client.feed(message).await;
                let (mut writing, mut reading) = client.split();
                let answer = tokio::select! {
                    answer = reading.next() => answer,
                    () = async { let _ = writing.flush().await; std::future::pending::<()>().await } => None,
                };
                match answer {
                    Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, code),
                    other => panic!("{other:?}"),
                }
            };
            tokio::join!(serving, calling);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_ends_when_its_time_is_up() {
        let (_client, mut server) = pair(Some(Duration::from_mins(1))).await;
        assert_eq!(ending(&mut server).await, Some(Ending::Expired));
    }
}
