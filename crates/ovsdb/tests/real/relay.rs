//! Stands between a client and a server, hears everything, and makes trouble when told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ovsdb::Remote;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a relay does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Carries bytes both ways.
    Open,
    /// Keeps connections and carries nothing from the server.
    Mute,
    /// Ends connections, and new ones at once.
    Cut,
}

/// Everything that went through, as text.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) from_client: String,
    pub(crate) from_server: String,
}

/// A socket in front of a server's.
pub(crate) struct Relay {
    socket: PathBuf,
    mode: watch::Sender<Mode>,
    transcript: Arc<Mutex<Transcript>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay in `dir` to the server's socket.
    pub(crate) fn start(dir: &Path, server: PathBuf) -> Self {
        Self::start_spoiling(dir, server, &[])
    }

    /// The same, which spoils these method names in what the client says, so that the server
    /// does not know them, as an older one would not.
    pub(crate) fn start_spoiling(
        dir: &Path,
        server: PathBuf,
        methods: &'static [&'static str],
    ) -> Self {
        let socket = dir.join("relay.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (mode, watched) = watch::channel(Mode::Open);
        let transcript = Arc::new(Mutex::new(Transcript::default()));
        let heard = transcript.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *watched.borrow() == Mode::Cut {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&server).await else { continue };
                let (mode, heard) = (watched.clone(), heard.clone());
                tokio::spawn(carry(client, server, mode, heard, methods));
            }
        });
        Self { socket, mode, transcript, task }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::Unix(self.socket.clone())
    }

    /// Looks into what went through.
    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Transcript) -> T) -> T {
        look(&self.transcript.lock().unwrap())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    client: UnixStream,
    server: UnixStream,
    mut mode: watch::Receiver<Mode>,
    heard: Arc<Mutex<Transcript>>,
    spoiled: &'static [&'static str],
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        loop {
            let mut text = read(&mut from_client).await?;
            heard.lock().unwrap().from_client.push_str(&text);
            for method in spoiled {
                text = text.replace(&format!("\"{method}\""), &format!("\"no_{method}\""));
            }
            write(&mut to_server, &text).await?;
        }
    };
    let mut open = mode.clone();
    let answering = async {
        loop {
            let text = read(&mut from_server).await?;
            open.wait_for(|mode| *mode == Mode::Open).await.ok()?;
            heard.lock().unwrap().from_server.push_str(&text);
            write(&mut to_client, &text).await?;
        }
    };
    tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        None::<()> = asking => {}
        None::<()> = answering => {}
        else => {}
    }
}

/// Some text, or `None` at the end. The tests use ASCII only, so no read cuts a character.
async fn read(from: &mut OwnedReadHalf) -> Option<String> {
    let mut buffer = vec![0; 64 << 10];
    let count = from.read(&mut buffer).await.ok().filter(|&count| count > 0)?;
    Some(String::from_utf8(buffer[..count].to_vec()).unwrap())
}

async fn write(to: &mut OwnedWriteHalf, text: &str) -> Option<()> {
    to.write_all(text.as_bytes()).await.ok()
}
