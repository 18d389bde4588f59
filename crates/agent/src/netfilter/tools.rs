//! Runs the programs of iptables and ipset, in the network namespace of this thread. Nothing else in
//! the agent does.

use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// How long a program may wait for others that hold the lock of iptables, in seconds.
const LOCK: &str = "10";

/// The programs of one IP version.
#[derive(Debug, Clone, Copy)]
struct Programs {
    save: &'static str,
    restore: &'static str,
}

const IPV4: Programs = Programs { save: "iptables-save", restore: "iptables-restore" };
const IPV6: Programs = Programs { save: "ip6tables-save", restore: "ip6tables-restore" };
const IPSET: &str = "ipset";
const PROTOCOLS: &str = "/etc/protocols";
/// What the programs print in the first line where they write to nftables.
const NFT: &str = "(nf_tables)";

/// Why netfilter could not be read or changed.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// There is no such program.
    #[error("{program} is not installed; iptables_hybrid needs iptables and ipset")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// It could not be run.
    #[error("cannot run {program}")]
    Run {
        /// Its name.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It refused what it was given.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said, and the line that it speaks of.
        message: String,
    },
    /// A thread that ran one has ended.
    #[error("the programs could not be waited for")]
    Ended,
}

/// What the programs print of all that there is, that of others included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// `iptables-save`.
    pub(crate) ipv4: String,
    /// `ip6tables-save`.
    pub(crate) ipv6: String,
    /// `ipset save`.
    pub(crate) sets: String,
    /// The machine's names of protocols, which the others use.
    pub(crate) protocols: String,
}

impl Saved {
    /// Whether all rules that were printed are nftables'; not where none were.
    pub(crate) fn is_nft(&self) -> bool {
        let says_so = |text: &String| text.lines().next().is_some_and(|line| line.contains(NFT));
        [&self.ipv4, &self.ipv6].into_iter().all(says_so)
    }
}

/// Reads everything. Blocks.
pub(crate) fn save() -> Result<Saved, ToolError> {
    let (ipv4, ipv6, sets) = thread::scope(|scope| {
        let ipv4 = scope.spawn(|| run(IPV4.save, &[], ""));
        let ipv6 = scope.spawn(|| run(IPV6.save, &[], ""));
        let sets = save_sets();
        (ipv4.join(), ipv6.join(), sets)
    });
    let (Ok(ipv4), Ok(ipv6)) = (ipv4, ipv6) else { return Err(ToolError::Ended) };
    let protocols = fs::read_to_string(PROTOCOLS).unwrap_or_default();
    Ok(Saved { ipv4: ipv4?, ipv6: ipv6?, sets: sets?, protocols })
}

/// Reads the sets of addresses, as `ipset save` prints them. Blocks.
pub(crate) fn save_sets() -> Result<String, ToolError> {
    run(IPSET, &["save"], "")
}

/// Makes changes of the rules of IPv4, all of them or none. Blocks.
pub(crate) fn restore_ipv4(input: &str) -> Result<(), ToolError> {
    restore(IPV4, input)
}

/// Makes changes of the rules of IPv6, all of them or none. Blocks.
pub(crate) fn restore_ipv6(input: &str) -> Result<(), ToolError> {
    restore(IPV6, input)
}

/// Makes changes of sets, one after the other, as far as the first that fails. Blocks.
pub(crate) fn restore_sets(input: &str) -> Result<(), ToolError> {
    match input {
        "" => Ok(()),
        input => run(IPSET, &["restore", "-exist"], input).map(drop),
    }
}

fn restore(programs: Programs, input: &str) -> Result<(), ToolError> {
    match input {
        "" => Ok(()),
        input => run(programs.restore, &["--noflush", "--wait", LOCK], input).map(drop),
    }
}

/// What the program prints, given this input.
fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let failed = |source| ToolError::Run { program, source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ToolError::Missing { program },
            _ => failed(source),
        })?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        // A program that fails early does not read all of it, and says why.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })
    .map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = explain(&String::from_utf8_lossy(&output.stderr), input);
    Err(ToolError::Failed { program, status: output.status, message })
}

/// What a program said, with the line of its input that it speaks of.
fn explain(said: &str, input: &str) -> String {
    let said = said.trim();
    let words = said.split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let number = words.windows(2).find_map(|pair| match pair {
        ["line" | "Line", number] => number.parse::<usize>().ok(),
        _ => None,
    });
    let line = number.and_then(|number| input.lines().nth(number.checked_sub(1)?));
    let said = said.lines().collect::<Vec<_>>().join("; ");
    line.map_or_else(|| said.clone(), |line| format!("{said}: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_was_refused_is_told() {
        let input = "*filter\n-A nowhere -j DROP\nCOMMIT\n";
        let said = "iptables-restore v1.8.9 (nf_tables): \nline 2: CHAIN_ADD failed: x\n";
        let expected = "iptables-restore v1.8.9 (nf_tables): ; line 2: CHAIN_ADD failed: x: \
                        -A nowhere -j DROP";
        assert_eq!(explain(said, input), expected);
        let expected = "Error occurred at line: 1: *filter";
        assert_eq!(explain("Error occurred at line: 1\n", input), expected);
        assert_eq!(explain("permission denied", input), "permission denied");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run("no-such-iptables", &[], "").unwrap_err();
        assert!(matches!(error, ToolError::Missing { program: "no-such-iptables" }), "{error}");
    }

    #[test]
    fn more_than_a_pipe_holds_is_taken_and_given() {
        let input = "a line\n".repeat(100_000);
        assert_eq!(run("cat", &[], &input).unwrap(), input);
        let error = run("false", &[], &input).unwrap_err();
        assert!(matches!(error, ToolError::Failed { .. }), "{error}");
    }
}
