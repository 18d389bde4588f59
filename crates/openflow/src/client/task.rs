//! The task that owns a connection. In: requests, bytes of the switch. Out: bytes, answers, and
//! what is told in order once flows are monitored.

use super::monitor::{Outbox, Told};
use crate::{
    conntrack::CtTuple,
    flow::{FlowMod, FlowStats},
    meter::MeterMod,
    number::TableId,
    session::{Heard, Outcome, ProtocolError, Refusal, Reply, RequestId, Session, Unity},
    wire::header::Deframer,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::Instant,
};

/// How much is encoded ahead of the socket.
const WRITE_AHEAD: usize = 64 * 1024;
/// How much is read at once.
const READ_AHEAD: usize = 64 * 1024;
/// How much may wait to be written before nothing more is read: a peer that asks for echoes and
/// takes none is not served from memory.
const MAX_UNWRITTEN: usize = 1024 * 1024;
/// A switch that was silent this long is asked whether it is there; one that stays silent as long
/// again is gone. Longer than a switch takes for the largest bundle.
const SILENCE: Duration = Duration::from_secs(20);

/// Both directions of a connection.
pub(super) struct Transport {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// What a client wants.
#[derive(Debug)]
pub(super) enum Order {
    Barrier,
    DumpFlows,
    MonitorFlows(BTreeSet<TableId>),
    Bundle(Vec<FlowMod>, Unity),
    ChangeMeters(Vec<MeterMod>),
    DumpMeters,
    FlushConntrack { zone: u16, connections: Vec<CtTuple> },
    FlushConntrackZones(Vec<u16>),
}

/// An order and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) order: Order,
    pub(super) answer: Answer,
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Answer {
    /// To whoever waits for it.
    Alone(oneshot::Sender<Result<Reply, Refusal>>),
    /// To whoever waits for it, and from then on this is where everything is told in order.
    Monitor(oneshot::Sender<Result<Reply, Refusal>>, mpsc::Sender<Told>),
    /// To its place in the order of what the switch says.
    InOrder,
}

/// Runs until the clients or the connection are gone; then what waits for answers is dropped.
/// `deframer` may hold what was read already, `out` what is to be written.
pub(super) async fn run(
    transport: Transport,
    deframer: Deframer,
    session: Session,
    out: Vec<u8>,
    inbox: mpsc::Receiver<Request>,
) {
    let (answers, dumped) = (BTreeMap::new(), BTreeMap::new());
    let task = Task { deframer, session, out, answers, dumped, outbox: Outbox::default() };
    match task.run(transport, inbox).await {
        Ok(()) => tracing::debug!("the connection to the switch is not needed any more"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "lost the switch");
        }
    }
}

struct Task {
    deframer: Deframer,
    session: Session,
    out: Vec<u8>,
    answers: BTreeMap<RequestId, Answer>,
    /// What has come of dumps that somebody waits for as a whole.
    dumped: BTreeMap<RequestId, Vec<FlowStats>>,
    outbox: Outbox,
}

impl Task {
    async fn run(
        mut self,
        mut transport: Transport,
        mut inbox: mpsc::Receiver<Request>,
    ) -> io::Result<()> {
        let mut written = 0;
        let mut heard = Instant::now();
        let mut asked = false;
        self.receive()?;
        loop {
            if written == self.out.len() {
                self.out.clear();
                written = 0;
                self.session.fill(&mut self.out, WRITE_AHEAD);
            }
            let input = self.deframer.buffer();
            input.reserve(READ_AHEAD);
            let unwritten = self.out.get(written..).unwrap_or_default();
            tokio::select! {
                read = transport.reader.read_buf(input), if unwritten.len() < MAX_UNWRITTEN
                    && !self.outbox.is_full() =>
                {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    heard = Instant::now();
                    asked = false;
                    self.receive()?;
                }
                wrote = transport.writer.write(unwritten), if !unwritten.is_empty() => {
                    match wrote? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        count => written += count,
                    }
                }
                request = inbox.recv() => match request {
                    Some(request) => self.accept(request),
                    None => return Ok(()),
                },
                () = self.outbox.tell(), if !self.outbox.is_empty() => {}
                () = tokio::time::sleep_until(heard + SILENCE) => {
                    if asked {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.session.echo(&mut self.out);
                    heard = Instant::now();
                    asked = true;
                }
            }
        }
    }

    fn accept(&mut self, Request { order, answer }: Request) {
        let id = match order {
            Order::Barrier => self.session.barrier(&mut self.out),
            Order::DumpFlows => self.session.dump_flows(&mut self.out),
            Order::MonitorFlows(tables) => self.session.monitor_flows(&tables, &mut self.out),
            Order::Bundle(mods, unity) => self.session.bundle(mods, unity),
            Order::ChangeMeters(changes) => self.session.change_meters(&changes, &mut self.out),
            Order::DumpMeters => self.session.dump_meters(&mut self.out),
            Order::FlushConntrack { zone, connections } => {
                self.session.flush_conntrack(zone, &connections, &mut self.out)
            }
            Order::FlushConntrackZones(zones) => {
                self.session.flush_conntrack_zones(&zones, &mut self.out)
            }
        };
        self.answers.insert(id, answer);
    }

    /// Takes in what has been read.
    fn receive(&mut self) -> io::Result<()> {
        let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        while let Some(frame) =
            self.deframer.next().map_err(|error| broken(ProtocolError::from(error)))?
        {
            match self.session.receive(frame, &mut self.out).map_err(broken)? {
                Some(Heard::Outcome(Outcome { id, result })) => self.answer(id, result),
                Some(Heard::Updates(updates)) => self.outbox.updates(updates),
                Some(Heard::Flows(id, flows)) => self.part(id, flows),
                None => {}
            }
        }
        Ok(())
    }

    /// A part of a dump.
    fn part(&mut self, id: RequestId, flows: Vec<FlowStats>) {
        match self.answers.get(&id) {
            Some(Answer::InOrder) => self.outbox.part(flows),
            Some(_) => self.dumped.entry(id).or_default().extend(flows),
            None => {}
        }
    }

    /// Whoever asked may have stopped waiting.
    fn answer(&mut self, id: RequestId, mut result: Result<Reply, Refusal>) {
        if let Some(mut all) = self.dumped.remove(&id)
            && let Ok(Reply::Flows(last)) = &mut result
        {
            all.append(last);
            *last = all;
        }
        match self.answers.remove(&id) {
            Some(Answer::Alone(answer)) => drop(answer.send(result)),
            Some(Answer::Monitor(answer, listener)) => {
                self.outbox.open(listener);
                drop(answer.send(result));
            }
            Some(Answer::InOrder) => self.outbox.answer(result),
            None => {}
        }
    }
}
