//! The handle on a connection, and how one comes about.
//!
//! | task | takes | gives |
//! | --- | --- | --- |
//! | driver (one per connection, in `driver`) | commands (bounded channel), dropped handles, bytes | answers, deliveries (a bounded channel for each consumer), how it stands (watched) |
//!
//! The task ends when the connection does, or when the last handle is dropped.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    Channel, Endpoint, Error, Login, Options, Result, Table,
    frame::{Decoder, Frame, put_method},
    handshake::{FIRST_FRAME, GREETING, Handshake, Step, Tuned},
    session::{Command, Dropped, Session},
    transport::{self, Stream},
};

mod driver;

/// Commands that wait to be carried out, before callers have to wait themselves.
const QUEUE: usize = 64;

/// A connection to a broker, which stays until one side ends it; it does not come back by itself.
/// Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    link: Link,
    blocked: watch::Receiver<Option<String>>,
    about: Arc<About>,
}

/// What does not change.
#[derive(Debug)]
struct About {
    peer: String,
    server: Table,
    heartbeat: Duration,
}

impl Connection {
    /// Connects, logs in and opens the virtual host.
    ///
    /// # Errors
    /// When nobody answers, or not in time, or not in AMQP 0-9-1; when TLS does not trust; when
    /// the broker refuses the user or the virtual host.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn open(endpoint: &Endpoint, login: &Login, options: &Options) -> Result<Self> {
        let limit = options.connect_deadline;
        let opened = timeout(limit, establish(endpoint, login, options)).await;
        let opened =
            opened.map_err(|_| Error::ConnectDeadline { peer: endpoint.to_string(), limit })??;
        let Established { stream, decoder, tuned, server } = opened;
        let (commands, queue) = mpsc::channel(QUEUE);
        let (ended, ending) = watch::channel(None);
        let (block, blocked) = watch::channel(None);
        let peer = endpoint.to_string();
        let session = Session::new(peer.clone(), tuned, options.most_bytes, block);
        let drops = Arc::new(Drops::default());
        let driver = driver::Driver {
            peer: peer.clone(),
            decoder,
            session,
            commands: queue,
            drops: drops.clone(),
            heartbeat: tuned.heartbeat,
        };
        tokio::spawn(driver.run(stream, ended));
        let about = Arc::new(About { peer, server, heartbeat: tuned.heartbeat });
        Ok(Self { link: Link { commands, ending, drops }, blocked, about })
    }

    /// Opens another channel.
    ///
    /// # Errors
    /// When the connection is over, or has as many as both sides agreed on.
    pub async fn channel(&self) -> Result<Channel> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Open { reply }).await?;
        let opened = answer.await.map_err(|_| self.link.error())??;
        Ok(Channel::new(opened, self.link.clone()))
    }

    /// Waits until the connection is over and says why.
    pub async fn closed(&self) -> Error {
        let mut ending = self.link.ending.clone();
        // The task is gone without a word only when the runtime shuts down.
        let error = ending.wait_for(Option::is_some).await.map(|error| error.clone());
        error.ok().flatten().unwrap_or(Error::Finished)
    }

    /// Ends the connection and with it every channel. Channels and consumers see
    /// [`Error::Finished`].
    ///
    /// # Errors
    /// When it was over already, for another reason.
    pub async fn close(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Close { reply }).await?;
        answer.await.map_err(|_| self.link.error())?
    }

    /// Why the broker takes in no messages at present, if it says so. What is published waits until
    /// it does again, and so does everything else that is said on the connection, because the
    /// broker does not read it: who must go on acknowledging publishes on another one.
    pub fn blocked(&self) -> Option<String> {
        self.blocked.borrow().clone()
    }

    /// Waits until [`Connection::blocked`] says something else than when it was last asked this
    /// way, on this clone.
    pub async fn blocked_changed(&mut self) -> Option<String> {
        if self.blocked.changed().await.is_err() {
            // It will not change any more.
            std::future::pending::<()>().await;
        }
        self.blocked.borrow_and_update().clone()
    }

    /// Host and port of the broker.
    pub fn peer(&self) -> &str {
        &self.about.peer
    }

    /// What the broker says about itself: `product`, `version` and more.
    pub fn server(&self) -> &Table {
        &self.about.server
    }

    /// How long both sides may be silent. Zero: for ever.
    pub fn heartbeat(&self) -> Duration {
        self.about.heartbeat
    }
}

/// What every handle has of its connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    commands: mpsc::Sender<Command>,
    ending: watch::Receiver<Option<Error>>,
    drops: Arc<Drops>,
}

impl Link {
    /// Hands a command to the task; waits while it has too many.
    pub(crate) async fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| self.error())
    }

    /// Tells the task of a handle that is gone. Does not wait.
    pub(crate) fn dropped(&self, dropped: Dropped) {
        self.drops.list.lock().unwrap_or_else(PoisonError::into_inner).push(dropped);
        self.drops.told.notify_one();
    }

    /// Why the connection is over.
    pub(crate) fn error(&self) -> Error {
        self.ending.borrow().clone().unwrap_or(Error::Finished)
    }
}

/// Handles that are gone and not yet cleaned up after. There are never more than there were
/// handles.
#[derive(Debug, Default)]
struct Drops {
    list: Mutex<Vec<Dropped>>,
    told: Notify,
}

impl Drops {
    fn take(&self) -> Vec<Dropped> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Established {
    stream: Box<dyn Stream>,
    /// With what came after the last method of the handshake.
    decoder: Decoder,
    tuned: Tuned,
    server: Table,
}

async fn establish(endpoint: &Endpoint, login: &Login, options: &Options) -> Result<Established> {
    let peer = endpoint.to_string();
    let lost = |source| Error::Lost { peer: peer.clone(), source: Arc::new(source) };
    let mut stream = transport::connect(endpoint).await?;
    let mut decoder = Decoder::new(FIRST_FRAME);
    let mut handshake = Handshake::new(&peer, login, options);
    stream.write_all(GREETING).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    loop {
        match decoder.next().map_err(|fault| endpoint.first_fault(fault))? {
            Some(Frame::Method(0, method)) => match handshake.receive(method)? {
                Step::Send(methods) => {
                    let mut out = Vec::new();
                    methods.iter().for_each(|method| put_method(&mut out, 0, method));
                    stream.write_all(&out).await.map_err(lost)?;
                    stream.flush().await.map_err(lost)?;
                }
                Step::Done(tuned, server) => {
                    decoder.set_frame_max(usize::try_from(tuned.frame_max).unwrap_or(usize::MAX));
                    return Ok(Established { stream, decoder, tuned, server });
                }
            },
            Some(Frame::Heartbeat) => {}
            Some(
                Frame::Method(channel, _) | Frame::Header(channel, ..) | Frame::Body(channel, _),
            ) => {
                return Err(endpoint.first_fault(crate::Fault::Channel { channel }));
            }
            None => {
                if stream.read_buf(decoder.buffer()).await.map_err(lost)? == 0 {
                    return Err(lost(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}
