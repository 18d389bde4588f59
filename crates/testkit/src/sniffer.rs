//! Who listens in on an interface, in the background, and keeps all that passes.

use std::{
    io::ErrorKind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Error, Namespace, Result,
    fabric::ethtool,
    packet_socket::{LONGEST, PacketSocket},
};

/// How long the thread waits for a frame before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Which way a frame passed the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// It left the namespace by the interface.
    Out,
    /// It came in by the interface. The kernel has taken an outer VLAN tag off.
    In,
}

/// A frame that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When it was seen.
    pub at: Instant,
    /// Which way it went.
    pub way: Way,
    /// All of it.
    pub frame: Vec<u8>,
}

/// Hears every frame that passes an interface, from its start until it is stopped or dropped.
///
/// Frames that leave by the interface are heard with their VLAN tags, so what a host puts on the
/// wire is heard at its own end, and what a virtual machine gets at the switch's end of its cable.
#[derive(Debug)]
pub struct Sniffer {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Sighting>>>,
}

impl Sniffer {
    /// Listens in on an interface of the namespace.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn start(namespace: &Namespace, device: &str) -> Result<Self> {
        // A tag that the hardware would add is not in the frame yet when it is heard.
        ethtool(namespace, device, &["txvlan", "off"])?;
        let socket = namespace.inside(|| PacketSocket::open(device))?;
        let socket = socket.and_then(|socket| {
            socket.set_patience(LOOK)?;
            Ok(socket)
        });
        let socket = socket.map_err(|source| Error::Socket {
            action: format!("listen in on {device}"),
            name: namespace.name().to_owned(),
            source,
        })?;
        let (stop, seen) = (Arc::default(), Arc::default());
        let (stopped, keep) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = Some(thread::spawn(move || listen(&socket, &stopped, &keep)));
        Ok(Self { thread, stop, seen })
    }

    /// What has passed so far, oldest first. The last of it may come a moment later; after
    /// [`Sniffer::stop`] nothing is missing.
    pub fn seen(&self) -> Vec<Sighting> {
        lock(&self.seen).clone()
    }

    /// Listens no more, and gives what has passed until now, oldest first.
    pub fn stop(mut self) -> Vec<Sighting> {
        self.end();
        std::mem::take(&mut *lock(&self.seen))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps what comes until it is to stop, and then what is there already.
fn listen(socket: &PacketSocket, stop: &AtomicBool, seen: &Mutex<Vec<Sighting>>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && socket.stop_waiting().is_err() {
            return;
        }
        match socket.hear(&mut buffer) {
            Ok(heard) => {
                let way = if heard.outgoing { Way::Out } else { Way::In };
                let frame = buffer.get(..heard.length).unwrap_or_default().to_vec();
                lock(seen).push(Sighting { at: Instant::now(), way, frame });
            }
            // An interface that goes down and comes back is listened in on again.
            Err(error)
                if !stopping
                    && matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NetworkDown
                    ) => {}
            Err(_) => return,
        }
    }
}

/// A list is a list also after another thread's panic.
fn lock(seen: &Mutex<Vec<Sighting>>) -> MutexGuard<'_, Vec<Sighting>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
