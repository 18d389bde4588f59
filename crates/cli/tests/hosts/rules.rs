//! Rules that go while a connection between two hosts uses them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::json;
use testkit::{Outcome, PATIENCE, eventually};

use crate::{cloud::WAIT, scene::Kind, talk::Talk};

/// A connection whose rule goes is cut, although the machine that it leads to may send whatever it
/// likes to whoever opened it; and it stays cut.
fn a_connection_that_lost_its_rule_is_cut(kind: Kind) {
    let mut talk = Talk::start(kind);
    let cloud = &talk.cloud;
    let group = cloud.create("security_group", json!({ "name": "served" }));
    let rule = cloud.create(
        "security_group_rule",
        json!({ "security_group_id": group["id"], "direction": "ingress", "protocol": "tcp" }),
    );
    let more = json!({ "security_groups": [group["id"]] });
    let machine = cloud.cabled(&talk.networks[0], 1, more);
    machine.vm.listen_tcp(80).unwrap();
    cloud.plug(&[&machine]);
    cloud.wait_active(&[&machine]);
    let machines = [machine];
    talk.begin(&machines);

    let (asking, to) = (&talk.machines[0].vm, machines[0].vm.v4(80).unwrap());
    let mut streams: Vec<_> = (0..5).map(|_| asking.open_stream(to, WAIT).unwrap()).collect();
    for stream in &mut streams {
        assert_eq!(stream.exchange(WAIT), Outcome::Reached);
    }
    // Each has a message or an echo under way when the rule goes, which one side sends again.
    let deleted = AtomicBool::new(false);
    thread::scope(|scope| {
        for stream in &mut streams {
            scope.spawn(|| {
                while !deleted.load(Ordering::Relaxed) {
                    assert_eq!(stream.exchange(WAIT), Outcome::Reached);
                }
                eventually(WAIT, || stream.exchange(PATIENCE) != Outcome::Reached).unwrap();
                // Both sides go on trying for some time.
                for _ in 0..4 {
                    assert_ne!(stream.exchange(PATIENCE), Outcome::Reached);
                }
            });
        }
        let rule = rule["id"].as_str().unwrap();
        deleted.store(true, Ordering::Relaxed);
        talk.cloud.delete(&format!("/v2.0/security-group-rules/{rule}"));
    });
    assert_ne!(asking.connect_tcp(to, PATIENCE), Outcome::Reached);
    talk.end(&[]);
}

mod vlan {
    #[test]
    fn a_connection_that_lost_its_rule_is_cut() {
        super::a_connection_that_lost_its_rule_is_cut(super::Kind::Vlan);
    }
}

mod vxlan {
    #[test]
    fn a_connection_that_lost_its_rule_is_cut() {
        super::a_connection_that_lost_its_rule_is_cut(super::Kind::Vxlan);
    }
}
