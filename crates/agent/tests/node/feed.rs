//! A client that asks once, and a server that goes on answering.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use neutron::object::SecurityGroupRule;
use testkit::{Vm, eventually};

use super::PATIENCE;
use super::scene::{CLIENTS, NEVER, SERVERS, Scene, rules, unique};

/// From one answer to the next.
const PACE: Duration = Duration::from_millis(100);
/// The port that answers come from.
const PORT: u16 = 9;
/// No answer has this number; there are no more when it is reached.
const END: u32 = u32::MAX;

/// A connection in which nobody but the server speaks.
pub(crate) struct Feed {
    client: UdpSocket,
    answered: Arc<AtomicU32>,
    server: Option<JoinHandle<()>>,
}

impl Feed {
    pub(crate) fn open(scene: &Scene) -> Self {
        let port = Some(u32::from(PORT));
        let admitted = SecurityGroupRule {
            security_group_id: unique(SERVERS),
            direction: "ingress".to_owned(),
            protocol: Some("udp".to_owned()),
            port_range_min: port,
            port_range_max: port,
            remote_group_id: Some(unique(CLIENTS)),
            ..Default::default()
        };
        for rule in rules(0xa030, &admitted) {
            scene.node.server.add(rule);
        }
        let bind = |vm: &Vm, port| {
            let socket = vm.namespace().inside(|| UdpSocket::bind(("0.0.0.0", port)));
            let socket = socket.unwrap().unwrap();
            socket.set_read_timeout(Some(NEVER)).unwrap();
            socket
        };
        let [client, server] = [bind(&scene.client, 0), bind(&scene.server, PORT)];
        client.connect(scene.server.v4(PORT).unwrap()).unwrap();
        let mut from = None;
        eventually(PATIENCE, || {
            client.send(b"go on").unwrap();
            from = server.recv_from(&mut [0; 16]).ok();
            from.is_some()
        })
        .unwrap();
        let (_, from) = from.unwrap();
        let answered = Arc::<AtomicU32>::default();
        let counted = Arc::clone(&answered);
        let server = thread::spawn(move || {
            let next = |number: u32| (number < END - 1).then(|| number + 1);
            while let Ok(last) = counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
                // One that is refused on the way may be told of.
                let _refused = server.send_to(&(last + 1).to_be_bytes(), from);
                thread::park_timeout(PACE);
            }
        });
        let feed = Self { client, answered, server: Some(server) };
        assert!(feed.goes_on());
        feed
    }

    /// The client asks again.
    pub(crate) fn ask(&self) {
        self.client.send(b"go on").unwrap();
    }

    /// Whether an answer comes that was sent from now on.
    pub(crate) fn goes_on(&self) -> bool {
        let (last, deadline) = (self.answered.load(Ordering::Relaxed), Instant::now() + PATIENCE);
        let mut number = [0; 4];
        while Instant::now() < deadline {
            let came = self.client.recv(&mut number).is_ok();
            if came && u32::from_be_bytes(number) > last {
                return true;
            }
        }
        false
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.answered.store(END, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
    }
}
