//! The programs that read and change netfilter.

use std::io::Write;
use std::process::Stdio;

use dataplane::hybrid::{Changes, Installed, Listing, Netfilter};
use testkit::Namespace;

/// The two forms of iptables.
pub(crate) const FORMS: [&str; 2] = ["nft", "legacy"];

/// The programs of one form, in a namespace.
pub(crate) struct Tools<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) form: &'static str,
}

impl Tools<'_> {
    /// Runs one of them with this input, and returns what it prints.
    pub(crate) fn run(&self, program: &str, args: &[&str], input: &str) -> String {
        let program = match program.split_once('-') {
            Some((tables, what)) => format!("{tables}-{}-{what}", self.form),
            None if program.ends_with("tables") => format!("{program}-{}", self.form),
            None => program.to_owned(),
        };
        let mut command = self.namespace.command(&program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            child.wait_with_output().unwrap()
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {errors}\n{input}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn installed(&self) -> Installed {
        let ipv4 = self.run("iptables-save", &[], "");
        let ipv6 = self.run("ip6tables-save", &[], "");
        let sets = self.run("ipset", &["save"], "");
        let protocols = std::fs::read_to_string("/etc/protocols").unwrap_or_default();
        Installed::parse(Listing { ipv4: &ipv4, ipv6: &ipv6, sets: &sets, protocols: &protocols })
    }

    /// Makes it so, and checks that it is so.
    pub(crate) fn apply(&self, desired: &Netfilter) -> Changes {
        let changes = desired.changes(&self.installed());
        let steps = [
            ("ipset", &["restore", "-exist"][..], &changes.sets_before),
            ("iptables-restore", &["--noflush", "-w", "20"], &changes.ipv4),
            ("ip6tables-restore", &["--noflush", "-w", "20"], &changes.ipv6),
            ("ipset", &["restore", "-exist"], &changes.sets_after),
        ];
        for (program, args, input) in steps {
            if !input.is_empty() {
                self.run(program, args, input);
            }
        }
        let left = desired.changes(&self.installed());
        assert!(left.is_empty(), "{} has left {left:#?}", self.form);
        assert!(desired.changes(&changes.after).is_empty(), "it was to be expected");
        changes
    }
}
