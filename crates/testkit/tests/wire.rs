//! Frames arrive byte by byte as they were sent.

use std::time::{Duration, Instant};

use testkit::{Switch, Wire, frame};

#[test]
fn what_one_sends_the_other_hears() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    let wires = ["a", "b"].map(|name| {
        let wire = Wire::cabled(&switch, name, "02:00:00:00:00:01").unwrap();
        switch.vsctl(&["add-port", "br0", name]).unwrap();
        wire
    });
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    switch.settle().unwrap();
    let sent = frame::ethernet([2, 0, 0, 0, 0, 1], [0xff; 6], 0x88b5, b"anything");
    wires[0].send(&sent).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let heard = wires[1].hear(deadline).unwrap().expect("the frame within the deadline");
        if heard == sent {
            return;
        }
    }
}
