//! Starts a private broker, tells a shell where it is, and lives until standard input ends:
//! something to point an OpenStack service at, and to kill in a test.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::Read as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in testkit::remove_leftovers()? {
        println!("# removed {name}, left behind by a process that is gone");
    }
    let broker = testkit::Broker::start()?;
    println!("export HOME={}", broker.run_dir().display());
    println!("export OS_DEFAULT__TRANSPORT_URL={}", broker.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
