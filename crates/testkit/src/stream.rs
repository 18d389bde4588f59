//! Connections that stay open, to see whether and when they are cut.

use std::{
    fmt::{self, Display},
    io::{self, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Outcome, icmp::Pinger, probe};

/// A connection to an echoing server.
#[derive(Debug)]
pub struct Stream {
    line: Line,
    received: Received,
    next: u64,
}

impl Stream {
    pub(crate) fn new(line: Line) -> Self {
        Self { line, received: Received::default(), next: 0 }
    }

    /// Sends a message and waits for its echo: [`Outcome::Reached`] when it came,
    /// [`Outcome::Filtered`] when the connection is silent, [`Outcome::Refused`] when the other
    /// side has closed it. A silent connection may come alive again.
    pub fn exchange(&mut self, timeout: Duration) -> Outcome {
        let number = self.next;
        self.next += 1;
        let deadline = Instant::now() + timeout;
        let answer = self.line.send(number).and_then(|()| {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(false);
                }
                if self.line.receive(left, &mut self.received)?.contains(&number) {
                    return Ok(true);
                }
            }
        });
        probe::outcome(answer)
    }
}

/// How many messages a [`Steady`] sends, and how fast at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At most so many, so that a forgotten one ends.
    pub messages: usize,
    /// From one to the next, at least.
    pub every: Duration,
    /// How long to wait for echoes after the last message.
    pub grace: Duration,
}

impl Pace {
    /// A hundred messages per second until it is stopped, for an hour at most.
    pub const HUNDRED_PER_SECOND: Self =
        Self { messages: 360_000, every: Duration::from_millis(10), grace: Duration::from_secs(2) };
}

/// Numbered messages on their way, in the background.
#[derive(Debug)]
pub struct Steady {
    thread: JoinHandle<Delivery>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

/// What became of a [`Steady`]'s messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Messages sent.
    pub sent: usize,
    /// Those never echoed.
    pub lost: usize,
    /// The longest time that any echo took to come back.
    pub slowest: Duration,
    /// The longest time between two echoes that came back one after the other.
    pub silence: Duration,
    /// The runs of messages that were never echoed, oldest first.
    pub gaps: Vec<Gap>,
}

/// Messages in a row that were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When each of them was sent.
    pub lost: Vec<Instant>,
    /// How long it lasted: from the first of them to the next that was echoed, or to the last that
    /// was sent at all.
    pub lasted: Duration,
}

impl Delivery {
    /// The longest time without a message that got through.
    pub fn longest_gap(&self) -> Duration {
        self.gaps.iter().map(|gap| gap.lasted).max().unwrap_or_default()
    }

    /// How many of the lost messages were not sent within these windows.
    pub fn lost_outside(&self, windows: &[RangeInclusive<Instant>]) -> usize {
        let lost = self.gaps.iter().flat_map(|gap| &gap.lost);
        lost.filter(|at| !windows.iter().any(|window| window.contains(at))).count()
    }

    /// From when each message was sent and how long its echo took, if there was one.
    fn new(sent: &[Instant], delays: &[Option<Duration>]) -> Self {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut open: Option<Gap> = None;
        for (at, delay) in sent.iter().zip(delays) {
            if let Some(gap) = &mut open
                && let Some(first) = gap.lost.first()
            {
                gap.lasted = at.saturating_duration_since(*first);
            }
            match delay {
                Some(_) => gaps.extend(open.take()),
                None => {
                    let none = || Gap { lost: Vec::new(), lasted: Duration::ZERO };
                    open.get_or_insert_with(none).lost.push(*at);
                }
            }
        }
        gaps.extend(open);
        let echoed = sent.iter().zip(delays).filter_map(|(at, delay)| Some(*at + (*delay)?));
        let mut echoed: Vec<Instant> = echoed.collect();
        echoed.sort();
        let silences = echoed.array_windows().map(|[one, next]| *next - *one);
        Self {
            sent: sent.len(),
            lost: gaps.iter().map(|gap| gap.lost.len()).sum(),
            slowest: delays.iter().flatten().max().copied().unwrap_or_default(),
            silence: silences.max().unwrap_or_default(),
            gaps,
        }
    }
}

/// `2 of 500 lost, the longest gap 20 ms, the slowest echo 3 ms`
impl Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gap, slowest) = (self.longest_gap().as_millis(), self.slowest.as_millis());
        let Self { sent, lost, .. } = self;
        write!(f, "{lost} of {sent} lost, the longest gap {gap} ms, the slowest echo {slowest} ms")
    }
}

impl Steady {
    pub(crate) fn start(line: Line, pace: Pace) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        Self { thread: thread::spawn(move || carry(line, pace, &stopped, &count)), stop, sent }
    }

    /// How many messages it has sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more, waits for the echoes that are due, and reports.
    ///
    /// # Panics
    /// When the sending thread has panicked.
    pub fn stop(self) -> Delivery {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits until all messages are sent and echoed (or given up), and reports.
    ///
    /// # Panics
    /// When the sending thread has panicked.
    pub fn finish(self) -> Delivery {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What carries numbers to the echoing server and back.
#[derive(Debug)]
pub(crate) enum Line {
    Tcp(TcpStream),
    Udp(UdpSocket),
    Ping(Pinger),
}

/// Bytes that came, up to the last whole number.
#[derive(Debug, Default)]
pub(crate) struct Received {
    rest: Vec<u8>,
}

impl Line {
    fn send(&mut self, number: u64) -> io::Result<()> {
        match self {
            Self::Tcp(connection) => connection.write_all(&number.to_be_bytes()),
            Self::Udp(socket) => socket.send(&number.to_be_bytes()).map(drop),
            Self::Ping(pinger) => pinger.send(number),
        }
    }

    /// The numbers that come within the timeout, none when none come.
    fn receive(&mut self, timeout: Duration, received: &mut Received) -> io::Result<Vec<u64>> {
        let timeout = timeout.max(Duration::from_millis(1));
        let mut bytes = [0; 4096];
        let mut take = |bytes: &[u8], length| received.take(bytes.get(..length).unwrap_or(&[]));
        let numbers = match self {
            Self::Tcp(connection) => {
                connection.set_read_timeout(Some(timeout))?;
                match connection.read(&mut bytes) {
                    Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
                    other => other.map(|length| take(&bytes, length)),
                }
            }
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(timeout))?;
                socket.recv(&mut bytes).map(|length| take(&bytes, length))
            }
            Self::Ping(pinger) => pinger.receive(timeout).map(|it| it.into_iter().collect()),
        };
        match numbers {
            Ok(numbers) => Ok(numbers),
            Err(error) if probe::is_early(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Received {
    fn take(&mut self, bytes: &[u8]) -> Vec<u64> {
        self.rest.extend_from_slice(bytes);
        let (numbers, rest) = self.rest.as_chunks();
        let numbers = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        self.rest = rest.to_vec();
        numbers
    }
}

/// Sends and receives until all is echoed, time is up or the connection is closed.
fn carry(mut line: Line, pace: Pace, stop: &AtomicBool, count: &AtomicUsize) -> Delivery {
    let mut received = Received::default();
    let mut sent: Vec<Instant> = Vec::with_capacity(pace.messages);
    let mut delays: Vec<Option<Duration>> = Vec::with_capacity(pace.messages);
    let mut due = Instant::now();
    loop {
        let now = Instant::now();
        let sending = sent.len() < pace.messages && !stop.load(Ordering::Relaxed);
        let until = if sending { due } else { due + pace.grace };
        if sending && now >= due {
            // What a busy machine has kept from being sent is not made up for: a burst is something
            // else than a steady stream, and fills queues.
            due = now.max(due + pace.every);
            let number = sent.len().try_into().unwrap_or(u64::MAX);
            sent.push(now);
            count.store(sent.len(), Ordering::Relaxed);
            delays.push(None);
            if line.send(number).is_err_and(|error| is_final(&error)) {
                break;
            }
            continue;
        }
        if !sending && (now >= until || delays.iter().all(Option::is_some)) {
            break;
        }
        match line.receive(until.saturating_duration_since(now), &mut received) {
            Ok(numbers) => {
                for number in numbers {
                    let index = usize::try_from(number).unwrap_or(usize::MAX);
                    if let (Some(at), Some(delay @ None)) = (sent.get(index), delays.get_mut(index))
                    {
                        *delay = Some(at.elapsed());
                    }
                }
            }
            Err(error) if is_final(&error) => break,
            Err(_) => {}
        }
    }
    Delivery::new(&sent, &delays)
}

/// UDP tells of single messages that found nobody; only TCP's errors are final.
fn is_final(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_put_together_from_pieces() {
        let bytes: Vec<u8> = [7u64, 8].iter().flat_map(|number| number.to_be_bytes()).collect();
        let mut received = Received::default();
        assert!(received.take(&bytes[..5]).is_empty());
        assert_eq!(received.take(&bytes[5..9]), [7]);
        assert_eq!(received.take(&bytes[9..]), [8]);
    }

    #[test]
    fn gaps_are_runs_of_lost_messages() {
        let start = Instant::now();
        let at = |number: u32| start + number * Duration::from_millis(10);
        let echoed = [true, false, false, true, true, false, true, false, false];
        let sent: Vec<Instant> = (0..9).map(at).collect();
        let delays = echoed.map(|echoed| echoed.then_some(Duration::from_millis(3)));

        let delivery = Delivery::new(&sent, &delays);
        let gap = |numbers: &[u32], lasted| Gap {
            lost: numbers.iter().copied().map(at).collect(),
            lasted: Duration::from_millis(lasted),
        };
        // Of the last it is not known how long it went on.
        assert_eq!(delivery.gaps, [gap(&[1, 2], 20), gap(&[5], 10), gap(&[7, 8], 10)]);
        assert_eq!(
            delivery.to_string(),
            "5 of 9 lost, the longest gap 20 ms, the slowest echo 3 ms"
        );
        assert_eq!(delivery.silence, Duration::from_millis(30));
        assert_eq!(delivery.lost_outside(&[]), 5);
        assert_eq!(delivery.lost_outside(&[at(2)..=at(5), at(8)..=at(8)]), 2);

        let all = Delivery::new(&sent, &[Some(Duration::ZERO); 9]);
        assert_eq!((all.lost, all.longest_gap(), all.gaps.len()), (0, Duration::ZERO, 0));
        assert_eq!(all.silence, Duration::from_millis(10));
    }
}
