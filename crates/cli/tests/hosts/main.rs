//! What must survive: machines on two hosts talk, a hundred packets per second, while agents,
//! switches and bridges fail around them. What may be lost stands with each test; and in none of
//! them a frame is seen in another network, on the wire with a wrong VLAN, or by a machine that it
//! is not for.
//!
//! How long an outage lasts is [`outage`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells what it has measured"
)]

mod agents;
mod cloud;
mod crowd;
mod fleet;
#[path = "../machine/mod.rs"]
mod machine;
mod migration;
mod process;
mod rules;
mod scene;
mod switches;
mod talk;
mod watch;

use std::{env, time::Duration};

/// How long agents, bus and the like are gone: as many seconds as `WEIR_TEST_OUTAGE` says, or 2.
fn outage() -> Duration {
    let seconds = env::var("WEIR_TEST_OUTAGE").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(2))
}
