//! Connections that stay open, to see whether and when they are cut.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Outcome, probe};

/// A TCP connection to an echoing server.
#[derive(Debug)]
pub struct Stream {
    line: Line,
    received: Received,
    next: u64,
}

impl Stream {
    pub(crate) fn new(connection: TcpStream) -> Self {
        Self { line: Line::Tcp(connection), received: Received::default(), next: 0 }
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

/// How many messages a [`Steady`] sends, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At most so many, so that a forgotten one ends.
    pub messages: usize,
    /// From one to the next.
    pub every: Duration,
    /// How long to wait for echoes after the last message.
    pub grace: Duration,
}

/// Numbered messages on their way, in the background.
#[derive(Debug)]
pub struct Steady {
    thread: JoinHandle<Delivery>,
    stop: Arc<AtomicBool>,
}

/// What became of a [`Steady`]'s messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Messages sent.
    pub sent: usize,
    /// Those never echoed.
    pub lost: usize,
    /// The longest time that any echo took to come back.
    pub slowest: Duration,
}

impl Steady {
    pub(crate) fn start(line: Line, pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { thread: thread::spawn(move || carry(line, pace, &stopped)), stop }
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
        }
    }

    /// The numbers that come within the timeout, none when none come.
    fn receive(&mut self, timeout: Duration, received: &mut Received) -> io::Result<Vec<u64>> {
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        let mut bytes = [0; 4096];
        let length = match self {
            Self::Tcp(connection) => {
                connection.set_read_timeout(timeout)?;
                match connection.read(&mut bytes) {
                    Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
                    other => other,
                }
            }
            Self::Udp(socket) => {
                socket.set_read_timeout(timeout)?;
                socket.recv(&mut bytes)
            }
        };
        match length {
            Ok(length) => Ok(received.take(bytes.get(..length).unwrap_or(&[]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
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
fn carry(mut line: Line, pace: Pace, stop: &AtomicBool) -> Delivery {
    let mut received = Received::default();
    let mut sent: Vec<Instant> = Vec::with_capacity(pace.messages);
    let mut delays: Vec<Option<Duration>> = Vec::with_capacity(pace.messages);
    let mut due = Instant::now();
    loop {
        let now = Instant::now();
        let sending = sent.len() < pace.messages && !stop.load(Ordering::Relaxed);
        let until = if sending { due } else { due + pace.grace };
        if sending && now >= due {
            due += pace.every;
            let number = sent.len().try_into().unwrap_or(u64::MAX);
            sent.push(now);
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
    Delivery {
        sent: sent.len(),
        lost: delays.iter().filter(|delay| delay.is_none()).count(),
        slowest: delays.into_iter().flatten().max().unwrap_or_default(),
    }
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
}
