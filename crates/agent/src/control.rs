//! The control socket of ovs-vswitchd, where `ovs-appctl` asks it too.
//!
//! Commands are JSON-RPC, one object each way. Everything here blocks, but for
//! [`wait_revalidated`] and [`wait_calm`].

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peer::chain;
use serde::Deserialize;
use serde_json::de::IoRead;
use serde_json::{StreamDeserializer, json};
use tokio::task::spawn_blocking;

/// How long ovs-vswitchd may keep silent.
const SILENCE: Duration = Duration::from_secs(10);

/// How often ovs-vswitchd is asked to wait until it has been through all verdicts that its datapath has
/// cached. A round may be under way already at the call. It learns of a change of flows when it has
/// answered for the first time; on a machine without a processor to spare, one more round may have
/// begun before that.
const ROUNDS: usize = 3;

/// How long verdicts are taken to be cached where ovs-vswitchd cannot be asked. It looks at them twice
/// a second.
const CACHED: Duration = Duration::from_secs(3);

/// How long it takes until one is asked again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How many commands in a row ovs-vswitchd answers within [`AT_ONCE`] if it has nothing else to do. It
/// answers once in each round of its main loop: when it does so for the third time, what had waited
/// for it before the first is forwarded, and the answers to that are.
const IN_A_ROW: usize = 3;

/// See [`IN_A_ROW`].
const AT_ONCE: Duration = Duration::from_millis(10);

/// How often that is tried: there are switches that always have something to do.
const ATTEMPTS: usize = 20;

/// Where the control socket is.
#[derive(Debug, Clone)]
pub(crate) enum Control {
    /// There.
    At(PathBuf),
    /// In this directory, under the name that ovs-vswitchd gives it by default.
    In(PathBuf),
}

/// Why ovs-vswitchd did not answer.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The socket broke or was never there.
    #[error("ovs-vswitchd does not answer")]
    Io(#[from] io::Error),
    /// The answer is none.
    #[error("the answer cannot be read")]
    Answer(#[from] serde_json::Error),
    /// It refused the command.
    #[error("ovs-vswitchd refuses: {0}")]
    Refused(String),
    /// It ended the connection.
    #[error("ovs-vswitchd closed the connection")]
    Closed,
}

impl ControlError {
    /// Whether asking again would be in vain: it has no socket here, or does not have the command.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Refused(_) => true,
            Self::Answer(_) | Self::Closed => false,
        }
    }
}

impl Control {
    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        match self {
            Self::At(socket) => socket.clone(),
            Self::In(directory) => {
                // Its pid is in its name, unless it was started with a name that has none.
                let plain = directory.join("ovs-vswitchd.ctl");
                let pid = fs::read_to_string(directory.join("ovs-vswitchd.pid"));
                let with_pid = pid.map(|pid| format!("ovs-vswitchd.{}.ctl", pid.trim()));
                match with_pid.map(|name| directory.join(name)) {
                    Ok(with_pid) if with_pid.exists() || !plain.exists() => with_pid,
                    _ => plain,
                }
            }
        }
    }
}

/// A connection to the control socket, for any number of commands.
pub(crate) struct Commander {
    stream: UnixStream,
    answers: StreamDeserializer<'static, IoRead<BufReader<UnixStream>>, Answer>,
}

#[derive(Deserialize)]
struct Answer {
    result: Option<String>,
    error: Option<String>,
}

impl Commander {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub(crate) fn connect(socket: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        // The connection stays open behind an answer, so that is read as long as it is one value.
        let reader = BufReader::new(stream.try_clone()?);
        let answers = serde_json::Deserializer::from_reader(reader).into_iter();
        Ok(Self { stream, answers })
    }

    /// Has ovs-vswitchd carry out a command; what it says.
    ///
    /// # Errors
    ///
    /// It refuses the command, or does not answer.
    pub(crate) fn command(
        &mut self,
        name: &str,
        arguments: &[String],
    ) -> Result<String, ControlError> {
        let request = json!({ "method": name, "params": arguments, "id": 0 });
        self.stream.write_all(request.to_string().as_bytes())?;
        let answer = self.answers.next().ok_or(ControlError::Closed)??;
        match answer.error {
            Some(error) => Err(ControlError::Refused(error.trim().to_owned())),
            None => Ok(answer.result.unwrap_or_default()),
        }
    }
}

/// Returns when ovs-vswitchd has held every verdict that its datapath has cached against the flows
/// that there were at the call.
///
/// # Errors
///
/// It cannot be reached, or it has several kinds of datapath and so does not tell.
pub(crate) fn revalidated(socket: &Path) -> Result<(), ControlError> {
    let mut commander = Commander::connect(socket)?;
    for _ in 0..ROUNDS {
        commander.command("revalidator/wait", &[])?;
    }
    Ok(())
}

/// The same without blocking. A switch that does not answer is asked until it does; one that cannot be
/// asked is given some time.
pub(crate) async fn wait_revalidated(control: Control) {
    loop {
        let control = control.clone();
        let error = match spawn_blocking(move || revalidated(&control.socket())).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => ControlError::Io(io::Error::other(error)),
        };
        if error.is_for_good() {
            tracing::debug!(error = chain(&error), "cached verdicts are taken to go by themselves");
            tokio::time::sleep(CACHED).await;
            return;
        }
        tracing::warn!(error = chain(&error), "it is not known whether cached verdicts are gone");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns when ovs-vswitchd answers at once, or after some time.
///
/// # Errors
///
/// It cannot be reached.
fn calm(socket: &Path) -> Result<(), ControlError> {
    let mut commander = Commander::connect(socket)?;
    for _ in 0..ATTEMPTS {
        let begin = Instant::now();
        for _ in 0..IN_A_ROW {
            commander.command("version", &[])?;
        }
        if begin.elapsed() < AT_ONCE {
            break;
        }
    }
    Ok(())
}

/// The same without blocking. A switch that cannot be asked is taken to have nothing to do.
pub(crate) async fn wait_calm(control: Control) {
    match spawn_blocking(move || calm(&control.socket())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = chain(&error), "it is not known what it does"),
        Err(error) => tracing::debug!(%error, "it is not known what it does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_says_when_it_has_revalidated() {
        let switch = testkit::Switch::start().unwrap();
        switch.add_bridge("br-int").unwrap();
        revalidated(&switch.vswitchd_ctl()).unwrap();
        let nobody = revalidated(Path::new("/nowhere/ovs-vswitchd.ctl")).unwrap_err();
        assert!(nobody.is_for_good(), "{nobody}");
    }

    #[test]
    fn a_switch_that_does_not_answer_is_asked_again() {
        let switch = testkit::Switch::start().unwrap();
        let socket = switch.run_dir().join("nobody-listens.ctl");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let error = revalidated(&socket).unwrap_err();
        assert!(!error.is_for_good(), "{error}");
        // It has several kinds of datapath.
        assert!(ControlError::Refused("can't wait on multiple udpifs.".to_owned()).is_for_good());
    }

    #[test]
    fn a_switch_is_calm_at_some_time() {
        let switch = testkit::Switch::start().unwrap();
        calm(&switch.vswitchd_ctl()).unwrap();
        let nobody = calm(Path::new("/nowhere/ovs-vswitchd.ctl"));
        assert!(matches!(nobody, Err(ControlError::Io(_))));
    }

    #[test]
    fn the_control_socket_has_the_pid_in_its_name() {
        let directory = std::env::temp_dir().join(format!("weir-control-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let found = || Control::In(directory.clone()).socket();
        assert_eq!(found(), directory.join("ovs-vswitchd.ctl"));
        fs::write(directory.join("ovs-vswitchd.pid"), "4711\n").unwrap();
        assert_eq!(found(), directory.join("ovs-vswitchd.4711.ctl"));
        fs::write(directory.join("ovs-vswitchd.ctl"), "").unwrap();
        assert_eq!(found(), directory.join("ovs-vswitchd.ctl"), "there is no other");
        fs::write(directory.join("ovs-vswitchd.4711.ctl"), "").unwrap();
        assert_eq!(found(), directory.join("ovs-vswitchd.4711.ctl"));
        fs::remove_dir_all(directory).unwrap();
    }
}
