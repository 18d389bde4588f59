//! Programs: run to the end, or started as a daemon that cannot outlive us.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{Error, Result, eventually};

/// How long a daemon may take to end when it is asked politely.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command for `program` that the kernel kills when the thread that starts it ends: pass it to
/// [`Daemon::spawn`], which starts it from a thread that lives as long as this process.
pub fn guarded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A child in a process group of its own (a terminal's Ctrl-C does not reach it), killed on drop
/// with all its children.
#[derive(Debug)]
pub struct Daemon {
    program: String,
    log: Option<PathBuf>,
    child: Child,
}

impl Daemon {
    /// Starts the command, best made by [`guarded`]. `program` is its name in messages.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(program: &str, mut command: Command) -> Result<Self> {
        command.process_group(0);
        let child = spawn_from_lasting_thread(command)
            .map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
        Ok(Self { program: program.to_owned(), log: None, child })
    }

    /// As [`Daemon::spawn`], with standard output and error appended to the file `log`, whose end
    /// is shown when the daemon ends by itself.
    ///
    /// # Errors
    /// When the log cannot be written or the command not started.
    pub fn spawn_logged(program: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        let open = || {
            let file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().map_err(|source| Error::File { path: log.clone(), source })?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut daemon = Self::spawn(program, command)?;
        daemon.log = Some(log);
        Ok(daemon)
    }

    /// Its process id, which is its process group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks until the condition holds.
    ///
    /// # Errors
    /// [`Error::Ended`] as soon as the daemon ends instead, [`Error::Deadline`] when time is up.
    pub fn wait_until(
        &mut self,
        within: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let ended = eventually(within, || match self.ended() {
            Some(status) => Some(Some(status)),
            None => condition().then_some(None),
        })?;
        ended.map_or(Ok(()), |status| Err(self.epitaph(status)))
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it has not ended after some seconds; it is killed then all the same.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        eventually(PATIENCE, || !matches!(self.child.try_wait(), Ok(None)))
    }

    /// Kills it (SIGKILL) with all its children and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Stops it where it is (SIGSTOP), as a machine that hangs would: its connections stay open
    /// and silent.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Daemon::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn epitaph(&self, status: ExitStatus) -> Error {
        let log = self.log.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let lines: Vec<&str> = log.as_deref().unwrap_or_default().lines().collect();
        let tail = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
        Error::Ended { program: self.program.clone(), status, log: tail.join("\n") }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may be gone already, which is as good.
            let _gone = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _reaped = self.child.wait();
    }
}

/// A daemon is a daemon also after another thread's panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// "Parent death" is the death of the *thread* that started the child, so tests and thread pools
/// must not start daemons from their own.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in queue {
                let _asker_gone = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = mpsc::channel();
    starter.send((command, reply)).map_err(|_| io::Error::other("the starter thread is gone"))?;
    answer.recv().map_err(|_| io::Error::other("the starter thread is gone"))?
}

/// Runs a program to its end and returns its standard output.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    finish(Command::new(program).args(args), None)
}

/// Runs a prepared command to its end, with that standard input, and returns its standard output.
pub(crate) fn finish(command: &mut Command, input: Option<&str>) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let spawn_error = |source| Error::Spawn { program: program.clone(), source };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(spawn_error)?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that has already refused closes the pipe; its own message says more.
        let _refused = pipe.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(spawn_error)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut line = program;
    for arg in command.get_args() {
        let _infallible = write!(line, " {}", arg.to_string_lossy());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let message = if stderr.is_empty() { output.status.to_string() } else { stderr };
    Err(Error::Command { command: line, message })
}
