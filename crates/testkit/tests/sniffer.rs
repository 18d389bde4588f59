//! A sniffer hears the interface that it was asked for, and no other.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use testkit::{Sniffer, Switch, Wire, eventually, frame};

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn a_sniffer_that_starts_beside_a_busy_interface_hears_nothing_of_it() {
    let host = Switch::start().unwrap();
    let [busy, quiet] = [("busy", "02:00:00:00:00:01"), ("quiet", "02:00:00:00:00:02")]
        .map(|(port, mac)| Wire::cabled(&host, port, mac).unwrap());
    let said = |number| {
        let source = [2, 0, 0, 0, 0, number];
        frame::ethernet(source, [0xff; 6], frame::number::ARP, &[0; 28])
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                busy.send(&said(1)).unwrap();
            }
        });
        for _ in 0..20 {
            let sniffer = Sniffer::start(host.namespace(), "quiet").unwrap();
            quiet.send(&said(2)).unwrap();
            let seen = eventually(WAIT, || !sniffer.seen().is_empty());
            let heard: Vec<_> = sniffer.stop().into_iter().map(|it| it.frame).collect();
            if seen.is_err() || heard != [said(2)] {
                stop.store(true, Ordering::Relaxed);
                panic!("heard {heard:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
