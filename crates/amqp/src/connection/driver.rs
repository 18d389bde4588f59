//! The task that owns the stream: reads, writes, keeps the heart beating.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Error, Result,
    connection::Drops,
    frame::Decoder,
    session::{Command, Received, Session, Stalled},
    transport::Stream,
};

/// More than this is not put together before some of it is sent.
const MOST_UNSENT: usize = 1 << 20;
/// How long the broker may take to end the connection when it is asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// The task's own.
pub(super) struct Driver {
    pub(super) peer: String,
    pub(super) decoder: Decoder,
    pub(super) session: Session,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) drops: Arc<Drops>,
    /// Zero: none.
    pub(super) heartbeat: Duration,
}

/// How long the broker may still be silent.
struct Silence {
    until: Instant,
    is_second: bool,
}

impl Silence {
    fn after(heard: Instant, beat: Duration) -> Self {
        Self { until: heard + beat, is_second: false }
    }
}

impl Driver {
    /// Serves the connection until it is over, and tells everybody why.
    pub(super) async fn run(
        mut self,
        stream: Box<dyn Stream>,
        ended: watch::Sender<Option<Error>>,
    ) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let error = match self.serve(&mut reader, &mut writer).await {
            Ok(error) | Err(error) => error,
        };
        tracing::debug!(peer = self.peer, %error, "the connection is over");
        ended.send_replace(Some(error.clone()));
        self.session.fail(&error);
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            command.refuse(error.clone());
        }
        // What is still to be said, such as that its end was noticed, is said if somebody listens.
        let farewell = async {
            writer.write_all(self.session.output()).await?;
            writer.flush().await?;
            writer.shutdown().await
        };
        let _nobody_listens = timeout(FAREWELL, farewell).await;
    }

    /// Returns well when the connection was ended in order.
    async fn serve(
        &mut self,
        reader: &mut (impl tokio::io::AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Error> {
        let drops = self.drops.clone();
        let beat = self.heartbeat;
        // While a consumer has no room nothing is read, but everything else goes on.
        let mut stalled: Option<Box<Stalled>> = None;
        let mut unflushed = false;
        // Silence is measured in two halves, the second from when the first is noticed: a process
        // that was held up itself reads what has come meanwhile before it judges.
        let mut silence = Silence::after(Instant::now(), beat);
        let mut said = Instant::now();
        let mut farewell: Option<Instant> = None;
        loop {
            if stalled.is_none() {
                match self.receive()? {
                    Received::Done => {}
                    Received::Stalled(delivery) => stalled = Some(delivery),
                    Received::Ended(error) => return Ok(error),
                }
            }
            if self.session.is_closing() {
                farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
            }
            stalled = stalled.filter(|stalled| self.session.is_open(stalled.key));
            let unsent = self.session.output().len();
            tokio::select! {
                read = reader.read_buf(self.decoder.buffer()), if stalled.is_none() => {
                    if self.io(read)? == 0 {
                        return Err(self.lost(io::ErrorKind::UnexpectedEof.into()));
                    }
                    silence = Silence::after(Instant::now(), beat);
                }
                written = write(writer, self.session.output()), if unsent > 0 || unflushed => {
                    let count = self.io(written)?;
                    self.session.sent(count);
                    unflushed = count > 0;
                    said = Instant::now();
                }
                command = self.commands.recv(), if unsent < MOST_UNSENT && farewell.is_none() => {
                    match command {
                        Some(command) => self.carry_out(command),
                        None => self.session.close(None),
                    }
                }
                () = drops.told.notified() => {
                    for dropped in drops.take() {
                        self.session.dropped(dropped);
                    }
                }
                () = room(&stalled), if stalled.is_some() => {
                    if let Some(stalled) = stalled.take() {
                        stalled.deliver(&mut self.session);
                    }
                    silence = Silence::after(Instant::now(), beat);
                }
                () = sleep_until(said + beat / 2),
                    if !beat.is_zero() && unsent == 0 && !unflushed =>
                {
                    self.session.heartbeat();
                }
                () = sleep_until(silence.until), if !beat.is_zero() && stalled.is_none() => {
                    if silence.is_second {
                        return Err(Error::Silent { peer: self.peer.clone(), period: beat * 2 });
                    }
                    silence = Silence { is_second: true, ..Silence::after(Instant::now(), beat) };
                }
                () = until(farewell), if farewell.is_some() => return Ok(Error::Finished),
            }
        }
    }

    /// Takes in all frames that are there as a whole.
    fn receive(&mut self) -> Result<Received> {
        while let Some(frame) =
            self.decoder.next().map_err(|fault| Error::Peer { peer: self.peer.clone(), fault })?
        {
            match self.session.receive(frame)? {
                Received::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Received::Done)
    }

    /// Carries out a command and those that wait behind it.
    fn carry_out(&mut self, command: Command) {
        self.session.command(command);
        while self.session.output().len() < MOST_UNSENT
            && let Ok(command) = self.commands.try_recv()
        {
            self.session.command(command);
        }
    }

    fn io(&self, outcome: io::Result<usize>) -> Result<usize> {
        outcome.map_err(|error| self.lost(error))
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::Lost { peer: self.peer.clone(), source: Arc::new(source) }
    }
}

/// Sends some of the bytes, or flushes when there are none. Nothing is lost when it is cancelled.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// Waits until the consumer has room or is gone.
async fn room(stalled: &Option<Box<Stalled>>) {
    if let Some(stalled) = stalled {
        // Nobody else fills this channel, so the room is still there afterwards.
        drop(stalled.sender.reserve().await);
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}
