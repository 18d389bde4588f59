//! Ports behind Linux bridges, where the firewall changes, or what it admits: which connections go on. With
//! the kernel's datapath flows and netfilter share one conntrack; that of ovs-vswitchd has its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use agent::Firewall;
use testkit::{Outcome, Pace, Stream, Vm, eventually};

use crate::node::feed::Feed;
use crate::node::scene::{
    CLIENTS, ECHO, NEVER, SERVERS, SOON, Scene, device, from_clients, plugged_as, port,
};
use crate::node::{Node, PATIENCE};

/// A thousand datagrams a second: what is refused must not get through at any moment.
const FAST: Pace =
    Pace { messages: 3_600_000, every: Duration::from_millis(1), grace: Duration::from_millis(10) };

/// What an emulated processor can do beside.
const SLOW: Pace =
    Pace { messages: 36_000, every: Duration::from_millis(100), grace: Duration::from_secs(1) };

/// From an answer to the next datagram.
const PAUSE: Duration = Duration::from_millis(5);

/// Datagrams, each sent when the one before it is answered or given up, so that one at most is under
/// way at any moment, however slow all is.
struct Asking {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: JoinHandle<usize>,
}

impl Asking {
    fn start(who: &Vm, to: SocketAddr) -> Self {
        let mut stream = who.open_datagrams(to).unwrap();
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            let mut lost = 0;
            while !stopped.load(Ordering::Relaxed) {
                lost += usize::from(stream.exchange(PATIENCE) != Outcome::Reached);
                count.fetch_add(1, Ordering::Relaxed);
                thread::park_timeout(PAUSE);
            }
            lost
        });
        let asking = Self { stop, asked, thread };
        asking.wait_for_more();
        asking
    }

    /// Waits until some more have been answered or given up.
    fn wait_for_more(&self) {
        let asked = self.asked.load(Ordering::Relaxed);
        eventually(3 * PATIENCE, || self.asked.load(Ordering::Relaxed) > asked + 2).unwrap();
    }

    /// How many were lost.
    fn stop(self) -> usize {
        self.wait_for_more();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Whether flows have the conntrack that netfilter has.
fn is_kernel(node: &Node) -> bool {
    node.switch.datapath_type() == "system"
}

/// Starts an agent with another firewall, as after Neutron's agent, which notes no driver: the machines
/// stay behind their bridges.
fn take_over(node: &mut Node, firewall: Firewall) {
    node.stop_agent();
    let forget = ["remove", "Bridge", "br-int", "external_ids", "weir-firewall-driver"];
    node.switch.vsctl(&forget).unwrap();
    node.start_agent_with(firewall);
}

#[test]
fn a_permission_that_goes_takes_its_connections_along() {
    let scene = Scene::start();
    let to = [scene.server.v4(ECHO).unwrap(), scene.server.v6(ECHO).unwrap()];
    let mut streams = to.map(|to| scene.client.open_stream(to, SOON).unwrap());
    let exchanged = |streams: &mut [Stream; 2], within| {
        streams.each_mut().map(|stream| stream.exchange(within) == Outcome::Reached)
    };
    assert_eq!(exchanged(&mut streams, SOON), [true; 2]);
    let asking = Asking::start(&scene.client, to[0]);
    for rule in from_clients("tcp") {
        scene.node.server.delete(rule.resource(), rule.id());
    }
    let tcp = || to.map(|to| scene.client.connect_tcp(to, NEVER).passed());
    eventually(PATIENCE, || tcp() == [false; 2]).unwrap();
    eventually(PATIENCE, || exchanged(&mut streams, NEVER) == [false; 2]).unwrap();
    for rule in from_clients("tcp") {
        scene.node.server.add(rule);
    }
    eventually(PATIENCE, || tcp() == [true; 2]).unwrap();
    // TCP has sent again and again meanwhile; it does so ever less often.
    assert_eq!(exchanged(&mut streams, PATIENCE), [true; 2]);
    assert_eq!(asking.stop(), 0, "others are not touched");
}

#[test]
fn what_netfilter_held_goes_when_flows_filter() {
    let mut scene = Scene::start();
    // Machines beside, for which nothing changes.
    scene.node.server.add(port(4, SERVERS));
    scene.node.server.add(port(5, CLIENTS));
    let [server, client] = [4, 5].map(|n| plugged_as(&scene.node, n, &format!("machine{n}")));
    scene.node.wait_up(5);
    server.listen_udp(ECHO).unwrap();
    let foreign = "-A FORWARD -s 192.0.2.1/32 -j DROP";
    scene.run("iptables -A FORWARD -s 192.0.2.1/32 -j DROP");
    let mut stream = scene.client.open_stream(scene.server.v4(ECHO).unwrap(), SOON).unwrap();
    let to = scene.server.v6(ECHO).unwrap();
    let pace = if is_kernel(&scene.node) { SLOW } else { FAST };
    let refused = scene.stranger.steady_udp(to, pace).unwrap();
    let asking = Asking::start(&scene.client, to);
    let beside = Asking::start(&client, server.v6(ECHO).unwrap());
    assert_eq!(stream.exchange(SOON), Outcome::Reached);

    take_over(&mut scene.node, Firewall::OpenVswitch);
    scene.node.wait_up(5);
    eventually(PATIENCE, || !scene.netfilter().contains("openvswi")).unwrap();
    let left = scene.netfilter();
    let rules: Vec<&str> = left.lines().filter(|line| line.starts_with("-A")).collect();
    assert_eq!(rules, [foreign], "{left}");
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    asking.wait_for_more();

    // And back.
    take_over(&mut scene.node, Firewall::IptablesHybrid);
    scene.node.wait_up(5);
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    assert!(scene.netfilter().contains(foreign));
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let (lost, beside, refused) = (asking.stop(), beside.stop(), refused.stop());
    // The userspace datapath takes connections from nobody: where flows begin to filter it may see the
    // answer first that is under way, which may open no connection.
    let unknown = usize::from(!is_kernel(&scene.node));
    assert!(lost <= beside + unknown, "{lost} of the client, {beside} beside");
    assert_eq!(refused.lost, refused.sent, "none got through");
}

#[test]
fn netfilter_filters_until_flows_do_where_another_port_stays_with_it() {
    let mut scene = Scene::start();
    // This one keeps its driver, whatever that of the node.
    let note = "external_ids:weir-firewall-driver=iptables_hybrid";
    scene.node.switch.vsctl(&["set", "Interface", &device("qvo", 2), note]).unwrap();
    let to = scene.server.v6(ECHO).unwrap();
    let pace = if is_kernel(&scene.node) { SLOW } else { FAST };
    let refused = scene.stranger.steady_udp(to, pace).unwrap();
    let tap = [1, 2, 3].map(|n| device("tap", n));
    take_over(&mut scene.node, Firewall::OpenVswitch);
    scene.node.wait_up(3);
    let left = |scene: &Scene| {
        let netfilter = scene.netfilter();
        tap.each_ref().map(|tap| netfilter.contains(tap))
    };
    eventually(PATIENCE, || left(&scene) == [false, true, false]).unwrap();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    let refused = refused.stop();
    assert_eq!(refused.lost, refused.sent, "none got through");
}

#[test]
fn who_asked_another_firewall_goes_on_getting_answers() {
    let mut scene = Scene::start();
    let feed = Feed::open(&scene);
    for firewall in [Firewall::OpenVswitch, Firewall::IptablesHybrid] {
        take_over(&mut scene.node, firewall);
        scene.node.wait_up(3);
        let is_hybrid = firewall == Firewall::IptablesHybrid;
        eventually(PATIENCE, || scene.netfilter().contains("openvswi") == is_hybrid).unwrap();
        // The userspace datapath takes connections from nobody.
        if !is_hybrid && !is_kernel(&scene.node) {
            feed.ask();
        }
        assert!(feed.goes_on(), "{firewall}");
    }
}
