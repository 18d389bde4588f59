//! Starts a private switch with one bridge, tells a shell where it is, and lives until standard
//! input ends: something to point `ovs-vsctl`, `ovs-ofctl` and `weir` at, and to kill in a test.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::Read as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in testkit::remove_leftovers()? {
        println!("# removed {name}, left behind by a process that is gone");
    }
    let switch = testkit::Switch::start()?;
    switch.add_bridge("br0")?;
    println!("export OVS_RUNDIR={}", switch.run_dir().display());
    println!("export WEIR_OVSDB={}", switch.db_remote());
    println!("export WEIR_DATAPATH_TYPE={}", switch.datapath_type());
    println!(
        "# Interfaces are looked for where the switch runs, so run 'weir' and what talks to it"
    );
    println!("# inside: $enter weir up ...");
    println!("enter='nsenter --net={}'", switch.namespace().path().display());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
