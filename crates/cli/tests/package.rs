//! The Debian package, installed and removed on this machine's own system as it is, in a root of its
//! own: whatever that changes is gone with the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Output},
};

const PROGRAM: &str = "/usr/bin/neutron-openvswitch-agent";

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// The package of the program that is tested, without what only a debugger reads.
fn package(directory: &Path) -> PathBuf {
    let binary = directory.join("weir");
    done(Command::new("strip").arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_weir")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/deb");
    let mut make = Command::new(script);
    // Pressing it takes longer than all the rest.
    make.arg(&binary).arg(directory).env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    done(&mut make).trim().into()
}

/// Runs the commands of a shell in the system as it is: what they write is seen by them alone. No
/// process of the system is seen, so that none is started or stopped.
fn in_system(directory: &Path, commands: &str) -> String {
    let root = "
        mount -t tmpfs none \"$1\"
        mkdir \"$1/upper\" \"$1/work\" \"$1/root\"
        mount -t overlay none \"$1/root\" -o \"lowerdir=/,upperdir=$1/upper,workdir=$1/work\"
        mount --bind /dev \"$1/root/dev\"
        mount -t proc none \"$1/root/proc\"
        cp \"$2\" \"$1/root/weir.deb\"
        exec chroot \"$1/root\" sh -euc \"$3\"";
    let package = package(directory);
    let system = directory.join("system");
    fs::create_dir(&system).unwrap();
    done(
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-euc", root, "sh"])
            .args([&system, &package])
            .arg(commands)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// What a command that must not fail prints.
fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {stdout}{stderr}");
    stdout.into_owned()
}

fn directory(name: &str) -> Directory {
    let directory = std::env::temp_dir().join(format!("weir-package-{}-{name}", process::id()));
    fs::create_dir(&directory).unwrap();
    Directory(directory)
}

#[test]
fn it_is_installed_beside_nothing_and_leaves_nothing() {
    let directory = directory("alone");
    let said = in_system(
        &directory.0,
        &format!(
            "rm -f {PROGRAM}
             dpkg --install /weir.deb >/dev/null
             readlink -f {PROGRAM}
             weir --version
             {PROGRAM} --help | grep -o -e --config-file -m 1
             grep -o ' --config-file=.*' /lib/systemd/system/weir-agent.service
             test ! -e /etc/systemd/system/multi-user.target.wants/weir-agent.service
             dpkg --remove weir >/dev/null
             test ! -e {PROGRAM} && test ! -e /usr/bin/weir && echo gone"
        ),
    );
    let version = concat!("weir ", env!("CARGO_PKG_VERSION"));
    let files = " --config-file=/etc/neutron/neutron.conf \
                 --config-file=/etc/neutron/plugins/ml2/openvswitch_agent.ini";
    let expected = ["/usr/bin/weir", version, "--config-file", files, "gone"];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_program_of_a_package_of_neutrons_stays() {
    let directory = directory("beside");
    let said = in_system(
        &directory.0,
        &format!(
            "printf '#!/bin/sh\\necho neutron\\n' >{PROGRAM}
             chmod 755 {PROGRAM}
             dpkg --install /weir.deb >/dev/null
             {PROGRAM}
             weir --version
             dpkg --remove weir >/dev/null
             {PROGRAM}"
        ),
    );
    let version = concat!("weir ", env!("CARGO_PKG_VERSION"));
    assert_eq!(said.lines().collect::<Vec<_>>(), ["neutron", version, "neutron"]);
}
