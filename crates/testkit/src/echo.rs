//! Servers that send back what they get, one task per port and per connection, on one thread for
//! the whole process.

use std::{
    io, net,
    sync::{Mutex, OnceLock, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// The servers of one virtual machine; dropping it ends them and their connections.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    tasks: Mutex<JoinSet<()>>,
}

impl Servers {
    /// Serves a TCP port of the namespace that the calling thread is in.
    pub(crate) fn tcp(&self, port: u16) -> io::Result<()> {
        let listener = on_all_addresses(port, |address| net::TcpListener::bind(address))?;
        listener.set_nonblocking(true)?;
        let runtime = runtime()?;
        let _context = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        self.spawn(runtime, async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(echo_stream(connection));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(())
    }

    /// Serves a UDP port of the namespace that the calling thread is in.
    pub(crate) fn udp(&self, port: u16) -> io::Result<()> {
        let socket = on_all_addresses(port, |address| net::UdpSocket::bind(address))?;
        socket.set_nonblocking(true)?;
        let runtime = runtime()?;
        let _context = runtime.enter();
        let socket = UdpSocket::from_std(socket)?;
        self.spawn(runtime, async move {
            let mut datagram = vec![0; 65_536];
            loop {
                // An error here is about an earlier reply that found nobody: the next may do.
                if let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                    let _lost = socket.send_to(datagram.get(..length).unwrap_or(&[]), from).await;
                }
            }
        });
        Ok(())
    }

    fn spawn(&self, runtime: &Runtime, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn_on(task, runtime.handle());
    }
}

async fn echo_stream(mut connection: TcpStream) {
    let (mut from, mut to) = connection.split();
    let mut bytes = vec![0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if to.write_all(bytes.get(..length).unwrap_or(&[])).await.is_err() {
            return;
        }
    }
}

/// Both families by one socket; by IPv4 alone where the kernel has no IPv6.
fn on_all_addresses<S>(port: u16, bind: fn((&str, u16)) -> io::Result<S>) -> io::Result<S> {
    match bind(("::", port)) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => bind(("0.0.0.0", port)),
        bound => bound,
    }
}

/// A runtime of our own, so that the kit can be used with and without one of the caller's.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
    // Who comes second here drops what it made, before anything runs on it.
    Ok(RUNTIME.get_or_init(|| made))
}
