//! What the machines do: they answer each other, carry what they can, and open connections. Each load
//! is bounded in time.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use testkit::Vm;
use tokio::task::spawn_blocking;

use super::super::cloud::SERVED;

/// How long anything may take that is admitted.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may take until the question is asked again.
const ANSWER: Duration = Duration::from_millis(500);
/// Who opens connections at once.
const OPENERS: usize = 4;
/// What is written at once.
const CHUNK: usize = 1 << 16;

/// From datagrams to their answers, one after the other.
///
/// # Errors
/// When there is no answer at all.
pub(super) async fn latency(
    client: &Vm,
    server: &Vm,
    load: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let socket = datagrams(client, server, SERVED)?;
    socket.set_read_timeout(Some(ANSWER))?;
    let measured = spawn_blocking(move || -> io::Result<_> {
        let (mut times, mut number, mut answer) = (Vec::new(), 0_u64, [0; 8]);
        let start = Instant::now();
        while start.elapsed() < load {
            number += 1;
            let sent = Instant::now();
            socket.send(&number.to_be_bytes())?;
            match socket.recv(&mut answer) {
                Ok(_) if u64::from_be_bytes(answer) == number => times.push(sent.elapsed()),
                // Of one before.
                Ok(_) => {}
                Err(error) if is_silence(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(times)
    });
    let times = measured.await??;
    ensure!(!times.is_empty(), "no datagram is answered");
    Ok(times)
}

/// What one TCP connection carries, in bits a second.
///
/// # Errors
/// When it does not come about.
pub(super) async fn throughput(client: &Vm, server: &Vm, load: Duration) -> anyhow::Result<f64> {
    let (listener, to) = listen(server)?;
    let namespace = client.namespace();
    let mut sender = namespace.inside(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    let (mut receiver, _) = listener.accept()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let sending = spawn_blocking(move || {
        let (chunk, start) = (vec![0; CHUNK], Instant::now());
        while start.elapsed() < load {
            sender.write_all(&chunk)?;
        }
        io::Result::Ok(())
    });
    let receiving = spawn_blocking(move || -> io::Result<f64> {
        let (mut chunk, mut bytes, start) = (vec![0; CHUNK], 0_u64, Instant::now());
        loop {
            match receiver.read(&mut chunk) {
                Ok(0) => return Ok(bytes as f64 * 8.0 / start.elapsed().as_secs_f64()),
                Ok(read) => bytes += u64::try_from(read).unwrap_or(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    sending.await??;
    Ok(receiving.await??)
}

/// How many TCP connections come about in a second, each closed at once.
///
/// # Errors
/// When none comes about.
pub(super) async fn connections(client: &Vm, server: &Vm, load: Duration) -> anyhow::Result<f64> {
    let (listener, to) = listen(server)?;
    let over = AtomicBool::new(false);
    let open = || {
        let (mut opened, start) = (0, Instant::now());
        while start.elapsed() < load {
            opened += usize::from(TcpStream::connect_timeout(&to, ANSWER).is_ok());
        }
        opened
    };
    let opened = thread::scope(|scope| -> anyhow::Result<usize> {
        let accepting = scope.spawn(|| {
            // The last one only wakes it up.
            while let Ok((connection, _)) = listener.accept() {
                drop(connection);
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let namespace = client.namespace();
        let openers: Vec<_> =
            (0..OPENERS).map(|_| scope.spawn(|| namespace.inside(open))).collect();
        let opened: Result<Vec<usize>, _> =
            openers.into_iter().map(|it| it.join().unwrap_or(Ok(0))).collect();
        over.store(true, Ordering::Relaxed);
        // By the server's own loopback, which nothing can cut.
        let _woken = server.namespace().inside(|| TcpStream::connect_timeout(&to, PATIENCE));
        let _ended = accepting.join();
        Ok(opened?.iter().sum())
    })?;
    ensure!(opened > 0, "no connection comes about");
    Ok(opened as f64 / load.as_secs_f64())
}

/// Asks that port of the server all the time, from now on, and gives the time of the first answer.
///
/// # Errors
/// When there is no socket for it.
pub(super) fn first_answer(
    client: &Vm,
    server: &Vm,
    port: u16,
) -> anyhow::Result<impl Future<Output = anyhow::Result<Instant>> + use<>> {
    let socket = datagrams(client, server, port)?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let asking = spawn_blocking(move || -> anyhow::Result<Instant> {
        let start = Instant::now();
        let mut answer = [0; 1];
        loop {
            ensure!(start.elapsed() < PATIENCE, "a rule does not get to packets");
            socket.send(&[0])?;
            match socket.recv(&mut answer) {
                Ok(_) => return Ok(Instant::now()),
                Err(error) if is_silence(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    });
    Ok(async { asking.await? })
}

fn datagrams(client: &Vm, server: &Vm, port: u16) -> anyhow::Result<UdpSocket> {
    let to = server.v4(port).context("the server has no address")?;
    let open = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(to)?;
        Ok(socket)
    };
    Ok(client.namespace().inside(open)??)
}

fn listen(server: &Vm) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let to = server.v4(SERVED).context("the server has no address")?;
    Ok((server.namespace().inside(|| TcpListener::bind(to))??, to))
}

/// Whether nothing came in time, or a signal came, as when a program ends that the agent has started.
fn is_silence(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
