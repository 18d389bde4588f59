//! Questions that virtual machines ask each other with real packets.

use std::{
    fmt::{self, Display},
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{Vm, icmp, vm::connected_udp};

/// How long a probe waits when nobody says otherwise. Only what is filtered takes that long.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// A question is repeated so that one packet lost on a busy machine does not look like a firewall.
/// TCP would do so by itself, but only after a second.
pub(crate) const REPEAT: Duration = Duration::from_millis(100);
/// Probes under way at once, each on a thread of its own.
const AT_ONCE: usize = 256;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Does a TCP connection to there come about?
    Tcp(SocketAddr),
    /// Is a UDP datagram to there echoed?
    Udp(SocketAddr),
    /// Is an ICMP or ICMPv6 echo request to there answered?
    Ping(IpAddr),
}

/// Who asks what.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// Who asks.
    pub from: &'a Vm,
    /// What is asked.
    pub question: Question,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There was an answer.
    Reached,
    /// The other side said no: the packet got there, but nobody serves that port.
    Refused,
    /// Silence.
    Filtered,
    /// Nothing could be sent, for example for lack of a route: the scene is set wrongly.
    Failed(io::ErrorKind),
}

impl Outcome {
    /// Whether the packet got there and the answer came back, be it yes or no.
    pub fn passed(self) -> bool {
        matches!(self, Self::Reached | Self::Refused)
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("reached"),
            Self::Refused => f.write_str("refused"),
            Self::Filtered => f.write_str("filtered"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}

impl Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(to) => write!(f, "tcp {to}"),
            Self::Udp(to) => write!(f, "udp {to}"),
            Self::Ping(to) => write!(f, "ping {to}"),
        }
    }
}

/// Asks everything at once and returns what came of each, in the order asked. However many are
/// filtered, they cost [`PATIENCE`] together (more only beyond 256 probes).
pub fn probe_all(probes: &[Probe<'_>]) -> Vec<Outcome> {
    probe_all_within(probes, PATIENCE)
}

/// As [`probe_all`], waiting so long for each answer.
pub fn probe_all_within(probes: &[Probe<'_>], timeout: Duration) -> Vec<Outcome> {
    let ask_one = |probe: &Probe<'_>| ask(probe.from, probe.question, timeout);
    let mut outcomes = Vec::with_capacity(probes.len());
    for probes in probes.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let threads: Vec<_> =
                probes.iter().map(|probe| scope.spawn(move || ask_one(probe))).collect();
            outcomes.extend(threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
        });
    }
    outcomes
}

pub(crate) fn ask(from: &Vm, question: Question, timeout: Duration) -> Outcome {
    let answer = from.namespace().inside(|| match question {
        Question::Tcp(to) => dial(to, timeout),
        Question::Udp(to) => ask_udp(to, timeout),
        Question::Ping(to) => icmp::ping(to, timeout),
    });
    match answer {
        Ok(answer) => outcome(answer),
        Err(_cannot_enter) => Outcome::Failed(io::ErrorKind::NotFound),
    }
}

/// What an answered (or not answered) question, or the error instead, says about the path.
pub(crate) fn outcome(answer: io::Result<bool>) -> Outcome {
    match answer.map_err(|error| error.kind()) {
        Ok(true) => Outcome::Reached,
        Err(io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => Outcome::Refused,
        Ok(false) | Err(io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => Outcome::Filtered,
        Err(kind) => Outcome::Failed(kind),
    }
}

fn dial(to: SocketAddr, timeout: Duration) -> io::Result<bool> {
    match TcpStream::connect_timeout(&to, timeout.min(REPEAT)) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut && timeout > REPEAT => {
            TcpStream::connect_timeout(&to, timeout.saturating_sub(REPEAT)).map(|_| true)
        }
        answer => answer.map(|_| true),
    }
}

fn ask_udp(to: SocketAddr, timeout: Duration) -> io::Result<bool> {
    let socket = connected_udp(to)?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left.min(REPEAT)))?;
        socket.send(b"weirkit?")?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => return Ok(true),
            Err(error) if is_early(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a wait has ended without anything having come: in time, or by a signal, such as that of the
/// end of a child of this process.
pub(crate) fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
