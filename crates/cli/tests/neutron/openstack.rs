//! The unmodified `openstack` client.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The client, told where the server is.
#[derive(Debug)]
pub(crate) struct Openstack {
    pub(crate) program: PathBuf,
    pub(crate) server: SocketAddr,
}

impl Openstack {
    /// Runs commands that print JSON, one after the other in one process, which starts slowly.
    /// None may fail.
    pub(crate) fn all<const N: usize>(&self, commands: [&str; N]) -> [Value; N] {
        let output = self.run(&commands.map(|command| format!("{command} -f json")));
        let printed = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        let printed: Vec<Value> = printed.map(Result::unwrap).collect();
        printed.try_into().unwrap_or_else(|_| panic!("{commands:?}: {output:?}"))
    }

    /// Runs a command that prints JSON.
    pub(crate) fn one(&self, command: &str) -> Value {
        let [printed] = self.all([command]);
        printed
    }

    /// Runs commands that print nothing, one after the other in one process. None may fail.
    pub(crate) fn quiet(&self, commands: &[&str]) {
        let output = self.run(&commands.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        assert!(output.stdout.trim_ascii().is_empty(), "{commands:?}: {output:?}");
    }

    /// It reads commands from its standard input when it is given none. Its exit status says
    /// nothing then, but what fails does.
    fn run(&self, commands: &[String]) -> Output {
        let mut client = Command::new(&self.program)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", std::env::temp_dir())
            .env("OS_AUTH_TYPE", "none")
            .env("OS_ENDPOINT", format!("http://{}", self.server))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all((commands.join("\n") + "\n").as_bytes()).unwrap();
        drop(input);
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.trim().is_empty(), "{commands:?}: {said}");
        output
    }
}
