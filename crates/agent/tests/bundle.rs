//! A switch that does not carry bundles out, for no fault of a flow: the agent gives it time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use neutron::object::{Object, Port};
use testkit::{Switch, eventually};

use crate::node::{Node, PATIENCE, id};

/// OpenFlow 1.4.1 § 7.1: types of messages.
const ERROR: u8 = 1;
const BUNDLE_CONTROL: u8 = 33;
const BUNDLE_ADD: u8 = 34;
/// § 7.5.4: the bundle failed, for a reason that is not known.
const BUNDLE_FAILED: [u8; 4] = [0, 17, 0, 0];
/// § 7.3.9: the bundle control that opens one.
const OPEN: [u8; 2] = [0, 0];

/// Stands between the agent and the bridge, and refuses bundles while it is told to.
#[derive(Clone, Default)]
struct StandIn {
    refuses: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl StandIn {
    /// The directory with its socket.
    fn listen(&self, switch: &Switch) -> PathBuf {
        let directory = switch.run_dir().join("stand-in");
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("br-int.mgmt")).unwrap();
        let bridge = switch.mgmt_socket("br-int");
        let stand_in = self.clone();
        thread::spawn(move || {
            for agent in listener.incoming() {
                // The bridge may not be there yet: the agent comes again.
                let Ok(bridge) = UnixStream::connect(&bridge) else { continue };
                stand_in.relay(agent.unwrap(), bridge);
            }
        });
        directory
    }

    /// Passes everything on, and answers what is about bundles itself while it refuses them.
    fn relay(&self, agent: UnixStream, bridge: UnixStream) {
        let mut answers = (bridge.try_clone().unwrap(), agent.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut answers.0, &mut answers.1));
        let stand_in = self.clone();
        thread::spawn(move || stand_in.take(agent, bridge));
    }

    fn take(&self, mut agent: UnixStream, mut bridge: UnixStream) {
        let mut header = [0; 8];
        while agent.read_exact(&mut header).is_ok() {
            let [version, kind, high, low, xid @ ..] = header;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low])) - header.len()];
            agent.read_exact(&mut body).unwrap();
            let about_bundles = [BUNDLE_CONTROL, BUNDLE_ADD].contains(&kind);
            if !about_bundles || !self.refuses.load(Ordering::Relaxed) {
                bridge.write_all(&[&header[..], &body].concat()).unwrap();
            } else if kind == BUNDLE_CONTROL {
                self.refused
                    .fetch_add(usize::from(body.get(4..6) == Some(&OPEN[..])), Ordering::Relaxed);
                let error = [&[version, ERROR, 0, 12], &xid[..], &BUNDLE_FAILED].concat();
                agent.write_all(&error).unwrap();
            }
        }
    }
}

#[test]
fn a_bundle_that_failed_is_not_sent_again_by_every_event() {
    const EVENTS: u64 = 1000;
    let port =
        |revision_number| Object::Port(Port { id: id(1), revision_number, ..Port::default() });
    let stand_in = StandIn::default();
    stand_in.refuses.store(true, Ordering::Relaxed);
    let node = Node::start_behind(vec![port(0)], |switch| stand_in.listen(switch));
    node.wait("the failure is told", |status| status.connections.switch.contains("bundle"));
    node.plug("tap1", &id(1));
    node.wait("the port is asked about", |status| !status.ports.is_empty());
    for revision in 1..=EVENTS {
        node.server.add(port(revision));
        node.status();
    }
    // Each rest is twice as long as the one before, so these are few however slow the machine is.
    let refused = stand_in.refused.load(Ordering::Relaxed);
    assert!(refused < 12, "{refused} bundles for {EVENTS} events");

    stand_in.refuses.store(false, Ordering::Relaxed);
    node.wait("it goes on", |status| status.connections.switch == "ok");
    eventually(PATIENCE, || node.flows().len() > 50).unwrap();
}
