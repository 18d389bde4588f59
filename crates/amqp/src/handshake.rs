//! How a connection comes about: what each method of the broker is answered with, until the virtual
//! host is open (section 2.2.4). No I/O.

use std::time::Duration;

use crate::{
    Endpoint, Error, Fault, Login, Mechanism, Options, Refusal, ReplyCode, Result, Table,
    method::Method,
    wire::{Field as _, Flags, LongString, ShortString},
};

/// What a client says first.
pub(crate) const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// What every peer must take, whatever it says (section 4.2.3).
const SHORTEST_FRAME: u32 = 4096;
/// How long a frame may be while nothing is agreed.
pub(crate) const FIRST_FRAME: usize = 128 << 10;

/// A connection that comes about.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    peer: &'a str,
    login: &'a Login,
    options: &'a Options,
    stage: Stage,
    server: Table,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Tune,
    OpenOk(Tuned),
}

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuned {
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    /// Zero: no heartbeats.
    pub(crate) heartbeat: Duration,
}

/// What comes of a method.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Send(Vec<Method>),
    /// Everything is open; the server's properties.
    Done(Tuned, Table),
}

impl<'a> Handshake<'a> {
    pub(crate) fn new(peer: &'a str, login: &'a Login, options: &'a Options) -> Self {
        Self { peer, login, options, stage: Stage::Start, server: Table::new() }
    }

    /// Takes a method of channel 0.
    pub(crate) fn receive(&mut self, method: Method) -> Result<Step> {
        match (self.stage, method) {
            (
                Stage::Start,
                Method::ConnectionStart {
                    version_major: 0,
                    version_minor: 9,
                    server_properties,
                    mechanisms,
                    ..
                },
            ) => {
                self.server = server_properties;
                self.stage = Stage::Tune;
                self.start_ok(&mechanisms).map(|method| Step::Send(vec![method]))
            }
            (Stage::Start, Method::ConnectionStart { .. }) => {
                Err(Error::NotAmqp { peer: self.peer.to_owned() })
            }
            (Stage::Tune, Method::ConnectionTune { channel_max, frame_max, heartbeat }) => {
                let tuned = self.tune(channel_max, frame_max, heartbeat)?;
                self.stage = Stage::OpenOk(tuned);
                let seconds = u16::try_from(tuned.heartbeat.as_secs()).unwrap_or(u16::MAX);
                let tune_ok = Method::ConnectionTuneOk {
                    channel_max: tuned.channel_max,
                    frame_max: tuned.frame_max,
                    heartbeat: seconds,
                };
                let open = Method::ConnectionOpen {
                    virtual_host: self.short(&self.login.vhost)?,
                    reserved_1: ShortString::default(),
                    reserved_2: Flags::default(),
                };
                Ok(Step::Send(vec![tune_ok, open]))
            }
            (Stage::OpenOk(tuned), Method::ConnectionOpenOk { .. }) => {
                Ok(Step::Done(tuned, std::mem::take(&mut self.server)))
            }
            (_, Method::ConnectionClose { code, text, .. }) => {
                let text = text.into_string();
                Err(self.refused(Refusal { code: ReplyCode(code), text }))
            }
            (_, method) => Err(Error::Peer {
                peer: self.peer.to_owned(),
                fault: Fault::Unexpected { method: method.name() },
            }),
        }
    }

    fn start_ok(&self, mechanisms: &LongString) -> Result<Method> {
        let offered = String::from_utf8_lossy(&mechanisms.0);
        let wanted = self.login.mechanism.name();
        if !offered.split(' ').any(|mechanism| mechanism == wanted) {
            let (peer, offered) = (self.peer.to_owned(), offered.into_owned());
            return Err(Error::Mechanism { peer, wanted, offered });
        }
        let capabilities = Table::new()
            .with("authentication_failure_close", true)
            .with("basic.nack", true)
            .with("connection.blocked", true)
            .with("consumer_cancel_notify", true)
            .with("publisher_confirms", true);
        let Options { product, version, connection_name, .. } = self.options;
        let client_properties = Table::new()
            .with("product", product.as_str())
            .with("version", version.as_str())
            .with("capabilities", capabilities)
            .with("connection_name", connection_name.as_str());
        Ok(Method::ConnectionStartOk {
            client_properties,
            mechanism: self.short(wanted)?,
            response: LongString(self.login.response()),
            locale: self.short("en_US")?,
        })
    }

    /// The smaller of both sides, where zero says that there is no limit.
    fn tune(&self, channel_max: u16, frame_max: u32, heartbeat: u16) -> Result<Tuned> {
        fn smaller<T: Ord + Default>(ours: T, theirs: T) -> T {
            if theirs == T::default() || ours == T::default() {
                ours.max(theirs)
            } else {
                ours.min(theirs)
            }
        }
        let frame_max = smaller(self.options.frame_max, frame_max);
        if frame_max < SHORTEST_FRAME {
            let (peer, fault) = (self.peer.to_owned(), Fault::Tune { frame_max });
            return Err(Error::Peer { peer, fault });
        }
        let channel_max = match smaller(self.options.channel_max, channel_max) {
            0 => u16::MAX,
            agreed => agreed,
        };
        let ours = self.options.heartbeat.as_secs();
        let theirs = u64::from(heartbeat);
        // Who says zero here wants none; a broker that says zero leaves it to us.
        let seconds = if ours == 0 { 0 } else { smaller(ours, theirs).min(u64::from(u16::MAX)) };
        Ok(Tuned { channel_max, frame_max, heartbeat: Duration::from_secs(seconds) })
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let (peer, user) = (self.peer.to_owned(), self.login.user.clone());
        match self.stage {
            Stage::Tune if refusal.code == ReplyCode::ACCESS_REFUSED => {
                Error::Login { peer, user, refusal }
            }
            Stage::OpenOk(_)
                if [ReplyCode::NOT_ALLOWED, ReplyCode::NOT_FOUND, ReplyCode::ACCESS_REFUSED]
                    .contains(&refusal.code) =>
            {
                Error::VirtualHost { peer, vhost: self.login.vhost.clone(), user, refusal }
            }
            _ => Error::Closed { peer, refusal },
        }
    }

    fn short(&self, text: &str) -> Result<ShortString> {
        ShortString::new(text).ok_or_else(|| Error::too_long(text))
    }
}

impl Login {
    /// What the mechanism wants to hear.
    fn response(&self) -> Vec<u8> {
        let (user, password) = (self.user.as_str(), self.password.reveal());
        match self.mechanism {
            // A table without its length.
            Mechanism::AmqPlain => {
                let table = Table::new().with("LOGIN", user).with("PASSWORD", password);
                let mut bytes = Vec::new();
                table.encode(&mut bytes);
                bytes.split_off(4.min(bytes.len()))
            }
            Mechanism::Plain => format!("\0{user}\0{password}").into_bytes(),
            Mechanism::External => Vec::new(),
        }
    }
}

impl Endpoint {
    /// What an error says of bytes that are none of AMQP's while nothing has been agreed.
    pub(crate) fn first_fault(&self, fault: Fault) -> Error {
        let peer = self.to_string();
        match fault {
            Fault::FrameType { .. } => Error::NotAmqp { peer },
            fault => Error::Peer { peer, fault },
        }
    }
}

#[cfg(test)]
mod tests;
