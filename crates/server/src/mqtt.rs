//! The MQTT door: bytes from a TLS stream become packets for the house, and what waits in the session becomes bytes.
//! One task per connection reads all there is, gives it to the house, and writes once per turn. What packets mean is
//! unknown here.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use broker::{Closed, Link, Wake};
use bytes::{Bytes, BytesMut};
use cloud::{Connection, MAXIMUM_PACKET_SIZE, Peer, Refused};
use mqtt::{ConnAck, Decoder, Malformed, Packet, ReasonCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::metrics::Counted;
use crate::server::Server;
use crate::websocket::stream::closed;

/// How long a client may take from the end of the handshake to its CONNECT.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a client that is being closed may take for the last bytes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Reads of a client that does not hang up though it has been told that nobody listens.
const UNHEARD: usize = 1000;

/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

thread_local! {
    /// Where a thread reads to, for whichever of its connections has something to read.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// Wakes the task of a connection.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve(server: &Server, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
    let mut socket = Socket::new(Counted::new(stream, &server.metrics));
    let bell = Arc::new(Bell(Notify::new()));
    let Some(connection) = let_in(server, &mut socket, peer, &bell).await else { return };
    exchange(server, &mut socket, &connection, &bell).await;
    if connection.link().closed() == Some(Closed::TakenOver) {
        socket.hear_out(connection.link(), server.now()).await;
    }
    // The last bytes are the DISCONNECT that says why, and are worth a moment.
    let _ = timeout(LAST_WORDS, socket.finish(connection.link().take_outgoing())).await;
    server.desk.bring_all(server.house.disconnected(&connection, server.now(), server.entropy())).await;
}

/// Takes the CONNECT and asks the house.
async fn let_in<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    socket: &mut Socket<S>,
    peer: Peer,
    bell: &Arc<Bell>,
) -> Option<Arc<Connection>> {
    let first = match timeout(CONNECT, socket.packet()).await {
        Ok(Ok(Some(packet))) => packet,
        Ok(Err(malformed)) => {
            server.refused(unreadable(&peer, malformed.message));
            socket.refuse(ConnAck::refusal(malformed.reason)).await;
            return None;
        }
        Ok(Ok(None)) => return None,
        Err(_elapsed) => {
            // Who never spoke was not refused.
            if !socket.input.is_empty() {
                server.refused(unreadable(&peer, &format!("no whole CONNECT within {} s", CONNECT.as_secs())));
            }
            return None;
        }
    };
    // Anything but a CONNECT first is the end of it [MQTT-3.1.0-1].
    let Packet::Connect(connect) = first else {
        server.refused(unreadable(&peer, "the first packet is not a CONNECT"));
        return None;
    };
    let wake = Arc::clone(bell) as Arc<dyn Wake>;
    let (tell, told) = oneshot::channel();
    let arrived = Box::new(move |arrived| drop(tell.send(arrived)));
    let jobs = server.house.connect(peer, *connect, wake, (server.now(), server.entropy()), arrived);
    server.desk.bring_all(jobs).await;
    match told.await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(refused)) => {
            socket.refuse(*refused.connack).await;
            None
        }
        // The desk has closed: the server stops.
        Err(_) => None,
    }
}

fn unreadable(peer: &Peer, reason: &str) -> Refused {
    Refused {
        principal: peer.principal.id(),
        action: "iot:Connect".to_owned(),
        decision: "CLIENT_ERROR".to_owned(),
        reason: reason.to_owned(),
        peer: peer.address.clone(),
        ..Refused::default()
    }
}

/// Reads and writes until the connection is closed or the stream ends.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    socket: &mut Socket<S>,
    connection: &Arc<Connection>,
    bell: &Bell,
) {
    let link = connection.link();
    let patience = connection.patience().map(Duration::from_secs_f32);
    // A sign of life is a whole packet [MQTT-3.1.2-22]: one that comes a byte at a time is none.
    let mut heard = Instant::now();
    let silence_ends = sleep(patience.unwrap_or_default());
    tokio::pin!(silence_ends);
    let mut entropy = server.entropy();
    loop {
        if take_packets(server, socket, connection, &mut entropy).await {
            heard = Instant::now();
        }
        if link.is_closed() || !send_all(server, socket, connection, bell, &mut entropy).await {
            return;
        }
        connection.count();
        let reads = !connection.is_busy();
        tokio::select! {
            // What arrived while much was written is looked at before its sender is called silent.
            biased;
            read = socket.read(), if reads => match read {
                Ok(0) => link.close(Closed::ConnectionLost),
                Err(error) => link.close(closed(&error)),
                Ok(_) => link.attend(),
            },
            () = bell.0.notified() => {}
            // The timer is set anew only when it runs out: that is rare, and packets are many.
            () = &mut silence_ends, if patience.is_some() => match heard + patience.unwrap_or_default() {
                end if end <= Instant::now() => link.close(Closed::KeepAliveTimeout),
                end => silence_ends.as_mut().reset(end),
            },
        }
    }
}

/// Writes all that waits, and what the house has beyond that; whether the connection goes on.
async fn send_all<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    socket: &mut Socket<S>,
    connection: &Arc<Connection>,
    bell: &Bell,
    entropy: &mut u128,
) -> bool {
    let link = connection.link();
    loop {
        if link.wants_more() {
            *entropy = entropy.wrapping_add(1);
            server.desk.bring_all(server.house.go_on(connection, server.now(), *entropy)).await;
        }
        socket.output = link.take_outgoing();
        if socket.output.is_empty() {
            return true;
        }
        if !send(socket, connection, bell).await {
            return false;
        }
    }
}

/// Writes what was taken. A client that does not take it is given up; one that is closed meanwhile need not.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, connection: &Connection, bell: &Bell) -> bool {
    let link = connection.link();
    let given_up = Instant::now() + STALL;
    loop {
        tokio::select! {
            // Cancelled and called again, this goes on where it was.
            written = socket.write() => {
                if written.is_err() {
                    link.close(Closed::ConnectionLost);
                }
                return written.is_ok();
            }
            () = bell.0.notified() => if link.is_closed() { return false },
            () = sleep_until(given_up) => {
                link.close(Closed::TooSlow);
                return false;
            }
        }
    }
}

/// Gives the house every packet that has arrived whole; whether there was one.
async fn take_packets<S>(
    server: &Server,
    socket: &mut Socket<S>,
    connection: &Arc<Connection>,
    entropy: &mut u128,
) -> bool {
    let link = connection.link();
    let now = server.now();
    let (mut taken, mut messages) = (0, 0);
    while !connection.is_busy() {
        match socket.decoder.decode(&mut socket.input) {
            Ok(Some(packet)) => {
                taken += 1;
                messages += u64::from(matches!(packet, Packet::Publish(_)));
                // Unpredictable because where it started is.
                *entropy = entropy.wrapping_add(1);
                if let Some(job) = server.house.receive(connection, packet, now, *entropy) {
                    server.desk.bring(job).await;
                }
                if link.is_closed() {
                    break;
                }
            }
            Ok(None) => break,
            Err(Malformed { reason, message }) => {
                link.close(Closed::ClientError { reason, message: message.to_owned() });
                break;
            }
        }
    }
    server.metrics.received(taken, messages);
    taken > 0
}

/// A stream with what has been read of it and what is still to be written.
struct Socket<S> {
    stream: S,
    input: BytesMut,
    /// Kept here while it is written, so that a close in the midst of a packet does not lose the rest of it.
    output: Bytes,
    decoder: Decoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: Bytes::new(), decoder: Decoder::new(MAXIMUM_PACKET_SIZE) }
    }

    /// The next packet; nothing at the end of the stream.
    async fn packet(&mut self) -> Result<Option<Packet>, Malformed> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input)? {
                return Ok(Some(packet));
            }
            if matches!(self.read().await, Ok(0) | Err(_)) {
                return Ok(None);
            }
        }
    }

    /// Reads what is there. While nothing is, the connection holds no buffer: most of them are idle most of the time.
    async fn read(&mut self) -> std::io::Result<usize> {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        let (stream, input) = (&mut self.stream, &mut self.input);
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
                input.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            })
        })
        .await
    }

    /// Looks for a goodbye in what has arrived and was not read yet; nothing is waited for.
    async fn hear_out(&mut self, link: &Link, now: i64) {
        // The runtime asks the system anew what has arrived before it comes back to this task.
        yield_now().await;
        for _ in 0..UNHEARD {
            loop {
                match self.decoder.decode(&mut self.input) {
                    Ok(Some(goodbye @ Packet::Disconnect(_))) => {
                        link.receive(goodbye, now);
                        return;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if !matches!(timeout(Duration::ZERO, self.read()).await, Ok(Ok(1..))) {
                return;
            }
        }
    }

    async fn write(&mut self) -> std::io::Result<()> {
        self.stream.write_all_buf(&mut self.output).await?;
        self.stream.flush().await
    }

    async fn refuse(&mut self, connack: ConnAck) {
        let version = self.decoder.version().unwrap_or(Version::V311);
        let mut bytes = BytesMut::new();
        let packet = Packet::ConnAck(Box::new(connack));
        // 3.1.1 has no words for some reasons; then closing says it all.
        if mqtt::encode(&packet, version, MAXIMUM_PACKET_SIZE, &mut bytes).is_ok() {
            let _ = timeout(LAST_WORDS, self.finish(bytes.freeze())).await;
        }
    }

    /// Writes what is left, then the last bytes, says goodbye in TLS, and waits for the client to hang up: a socket that is
    /// closed on bytes it has not read resets the connection, and the client would lose what was written last.
    async fn finish(&mut self, last: Bytes) -> std::io::Result<()> {
        self.write().await?;
        self.output = last;
        self.write().await?;
        self.stream.shutdown().await?;
        for _ in 0..UNHEARD {
            self.input.clear();
            if self.read().await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// The reason a listener gives that cannot serve MQTT on a connection at all.
pub(crate) async fn turn_away(stream: impl AsyncRead + AsyncWrite + Unpin, reason: ReasonCode) {
    let mut socket = Socket::new(stream);
    if let Ok(Ok(Some(Packet::Connect(_)))) = timeout(CONNECT, socket.packet()).await {
        socket.refuse(ConnAck::refusal(reason)).await;
    }
}
