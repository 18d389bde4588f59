//! Ports behind Linux bridges of their own, where netfilter filters them, on a real switch.
#![expect(clippy::string_slice, reason = "ids are ASCII")]

mod node;

use agent::Firewall;
use neutron::object::SecurityGroupRule;
use testkit::{Namespace, Outcome, Pace, Switch, Vm, eventually};

use crate::node::scene::{
    CLIENTS, ECHO, NEVER, SERVERS, SOON, Scene, TO_ANYBODY, Wiring, device, egress, group, plugged,
    port, rules, unique,
};
use crate::node::{Node, PATIENCE, Settings};

#[test]
fn netfilter_filters_what_is_behind_linux_bridges() {
    let scene = Scene::start();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    // Somebody joins the clients, and leaves them.
    scene.node.server.add(port(3, CLIENTS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    scene.node.server.add(port(3, SERVERS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [false; 4]).unwrap();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
}

#[test]
fn without_sets_each_member_is_let_in_by_a_rule() {
    let firewall = Some(Firewall::IptablesHybrid);
    let settings = Settings { firewall, without_sets: true, ..Settings::default() };
    let scene = Scene::start_as(settings, Wiring::BehindBridge);
    let to = scene.server.v4(ECHO).unwrap();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    assert_eq!(scene.run("ipset save"), "");
    assert!(scene.netfilter().contains("-s 10.0.0.2/32"));
    // Somebody joins the clients and talks, and leaves them.
    scene.node.server.add(port(3, CLIENTS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    assert!(scene.netfilter().contains("-s 10.0.0.3/32 -p"));
    let mut stream = scene.stranger.open_stream(to, SOON).unwrap();
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    scene.node.server.add(port(3, SERVERS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [false; 4]).unwrap();
    eventually(PATIENCE, || stream.exchange(NEVER) != Outcome::Reached).unwrap();
    assert!(!scene.netfilter().contains("-s 10.0.0.3/32 -p"));
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
}

#[test]
fn a_restart_changes_nothing() {
    let mut scene = Scene::start();
    let mut stream = scene.client.open_stream(scene.server.v4(ECHO).unwrap(), SOON).unwrap();
    let steady =
        scene.client.steady_udp(scene.server.v6(ECHO).unwrap(), Pace::HUNDRED_PER_SECOND).unwrap();
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let (before, flows) = (scene.netfilter(), scene.node.flows());
    scene.node.stop_agent();
    scene.node.start_agent();
    scene.node.wait_up(3);
    assert_eq!(scene.netfilter(), before);
    assert_eq!(scene.node.flows(), flows);
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let delivery = steady.stop();
    assert_eq!(delivery.lost, 0, "{delivery:?}");
}

#[test]
fn what_somebody_else_does_to_the_rules_is_undone() {
    let scene = Scene::start();
    let (member, ingress) = (unique(CLIENTS), unique(1));
    let set = format!("NIPv4{}", &member[..24]);
    let chain = format!("neutron-openvswi-i{}", &ingress[..10]);
    assert!(scene.netfilter().contains(&format!("add {set} 10.0.0.2")));
    assert!(scene.netfilter().contains(&format!(":{chain} ")));
    let passes = |who: &Vm| who.ask_udp(scene.server.v4(ECHO).unwrap(), NEVER).passed();
    // A change first: what there is then was not read back.
    scene.node.server.add(port(3, CLIENTS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    scene.node.server.add(port(3, SERVERS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [false; 4]).unwrap();
    let rules = || {
        let all = scene.netfilter();
        let mine = all.lines().filter(|line| *line != "-A FORWARD -j ACCEPT");
        mine.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = rules();
    for damage in [
        format!("iptables -I {chain} 1 -j RETURN"),
        "iptables -I FORWARD 1 -j ACCEPT".to_owned(),
        format!("iptables -F {chain}"),
        format!("ip6tables -F {chain}"),
        format!("ipset del {set} 10.0.0.2"),
        format!("ipset add {set} 10.0.0.3"),
    ] {
        scene.run(&damage);
        // Where the programs are slow it is looked at less often.
        eventually(3 * PATIENCE, || rules() == before && !passes(&scene.stranger)).unwrap();
        eventually(PATIENCE, || passes(&scene.client)).unwrap();
    }
    // That of somebody else is somebody else's, behind ours.
    assert_eq!(scene.netfilter().matches("-A FORWARD -j ACCEPT").count(), 1);
}

#[test]
fn where_netfilter_sees_nothing_nothing_passes() {
    let off = |switch: &Switch| {
        switch.namespace().write_sysctl("net/bridge/bridge-nf-call-iptables", "0").unwrap();
    };
    let firewall = Some(Firewall::IptablesHybrid);
    let objects = vec![group(CLIENTS), group(SERVERS), port(1, SERVERS)];
    let settings = Settings { firewall, ..Settings::default() };
    let node = Node::start_told(objects, settings, |switch, _| off(switch));
    let _server = plugged(&node, 1, Wiring::BehindBridge);
    let says = "netfilter does not filter the port: netfilter does not see all that passes";
    node.wait("it says so", |status| {
        status.ports.iter().any(|port| !port.up && port.state.starts_with(says))
    });
}

#[test]
fn where_the_agent_does_not_see_the_linux_bridges_nothing_passes() {
    let firewall = Some(Firewall::IptablesHybrid);
    let namespace = Some(Namespace::create("agent").unwrap());
    let objects = vec![group(CLIENTS), group(SERVERS), port(1, SERVERS), port(2, SERVERS)];
    let objects = objects.into_iter().chain(egress(TO_ANYBODY, SERVERS)).collect();
    let node = Node::start_with(objects, Settings { firewall, namespace, ..Settings::default() });
    let [_one, _two] = [1, 2].map(|n| plugged(&node, n, Wiring::BehindBridge));
    let says = |n| {
        let id = unique(n);
        format!(
            "netfilter does not filter the port: there is no Linux bridge qbr{} in the network \
             namespace of the agent",
            &id[..11]
        )
    };
    node.wait("it says so", |status| {
        let told = |n| status.ports.iter().any(|it| !it.up && it.state.starts_with(&says(n)));
        told(1) && told(2)
    });
    assert!(!node.server.thinks_up(&unique(1)));
    let ofport = node.switch.vsctl(&["get", "Interface", &device("qvo", 1), "ofport"]).unwrap();
    let from = format!("in_port={}", ofport.trim());
    let flows = node.flows();
    assert!(!flows.iter().any(|flow| flow.contains(&from)), "{from}: {flows:#?}");
}

#[test]
fn a_port_is_up_as_long_as_all_it_sends_passes_netfilter() {
    let scene = Scene::start();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    let [tap, qbr, qvb] = ["tap", "qbr", "qvb"].map(|kind| device(kind, 2));
    let namespace = scene.node.switch.namespace();
    let is_up = |says: Option<&str>| {
        scene.node.wait(says.unwrap_or("up"), |status| {
            let port = status.ports.iter().find(|port| port.id == unique(2)).unwrap();
            port.up == says.is_none() && says.is_none_or(|says| port.state.contains(says))
        });
    };
    // A machine that has not started yet, or has stopped, has no device there.
    namespace.ip(&format!("link set dev {tap} nomaster")).unwrap();
    namespace.ip("link add name eth7 type veth peer name eth8").unwrap();
    for (before, says, after) in [
        (
            format!("link set dev {qvb} nomaster"),
            format!("{qvb} is no port of Linux bridge {qbr}"),
            format!("link set dev {qvb} master {qbr}"),
        ),
        (
            format!("link set dev eth7 master {qbr}"),
            format!("eth7 is a port of Linux bridge {qbr}"),
            "link set dev eth7 nomaster".to_owned(),
        ),
    ] {
        namespace.ip(&before).unwrap();
        is_up(Some(&says));
        namespace.ip(&after).unwrap();
        is_up(None);
    }
    namespace.ip(&format!("link set dev {tap} master {qbr}")).unwrap();
    eventually(PATIENCE, || scene.answers(&scene.client, NEVER) == [true; 4]).unwrap();
}

#[test]
fn what_netfilter_does_not_take_is_told_and_tried_again() {
    let scene = Scene::start();
    // Somebody has a set of the name that the next one is to have.
    let name = format!("NIPv4{}", unique(SERVERS));
    let name = &name[..29];
    scene.run(&format!("ipset create {name} hash:net family inet6"));
    let from_servers = || {
        rules(
            0xa020,
            &SecurityGroupRule {
                security_group_id: unique(SERVERS),
                direction: "ingress".to_owned(),
                remote_group_id: Some(unique(SERVERS)),
                ..Default::default()
            },
        )
    };
    for rule in from_servers() {
        scene.node.server.add(rule);
    }
    let says = "netfilter goes on with the rules it had";
    scene.node.wait("it says so", |status| {
        let warned = |warnings: &[String]| warnings.iter().any(|it| it.starts_with(says));
        status.ports.iter().all(|port| port.up && warned(&port.warnings))
    });
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    scene.run(&format!("ipset destroy {name}"));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    scene.node.wait("it is well again", |status| {
        status.ports.iter().all(|port| port.up && port.warnings.is_empty())
    });
}
