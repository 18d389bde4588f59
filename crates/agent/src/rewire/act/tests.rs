//! With the interfaces of a network namespace of its own.

use model::PortId;
use testkit::Namespace;
use tokio::runtime::Runtime;

use super::*;

const PORT: &str = "11111111-1111-4111-8111-111111111111";

fn port() -> PortId {
    PORT.parse().unwrap()
}

/// A namespace with the device of a machine, and a runtime whose threads are in it.
fn scene() -> (Namespace, Runtime) {
    let namespace = Namespace::create("rewire").unwrap();
    let tap = HybridDevices::of(port()).tap;
    namespace.ip(&format!("link add name {tap} mtu 1442 type veth peer name far")).unwrap();
    let runtime = namespace.inside(Runtime::new).unwrap().unwrap();
    (namespace, runtime)
}

/// Does it in a thread of the runtime.
fn run<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).unwrap()
}

/// What the kernel says of an interface.
fn shown(runtime: &Runtime, name: &str) -> String {
    let name = name.to_owned();
    run(runtime, async move { ip(&["-oneline", "link", "show", "dev", &name]).await }).unwrap()
}

fn interfaces(namespace: &Namespace) -> Vec<String> {
    let mut names = namespace.interfaces().unwrap();
    names.retain(|name| name.ends_with("11111111-11"));
    names.sort();
    names
}

fn finish(runtime: &Runtime, is_bridged: bool) {
    run(runtime, finish_halves(vec![Suspect { port: port(), is_bridged }]));
}

#[test]
fn what_is_prepared_disturbs_nothing() {
    let (namespace, runtime) = scene();
    let devices = HybridDevices::of(port());
    let HybridDevices { tap, qbr, qvb, qvo } = devices.clone();
    run(&runtime, prepare(devices.clone(), Way::Bridge)).unwrap();
    assert_eq!(interfaces(&namespace), [&*qbr, &qvb, &qvo, &tap]);
    let [bridge, device] = [&qbr, &tap].map(|name| shown(&runtime, name));
    assert!(bridge.contains("mtu 1442"), "{bridge}");
    assert!(!device.contains("master"), "{device}");

    // There is one already; and it is one without the machine, so there is none to take away.
    let error = chain(&run(&runtime, prepare(devices.clone(), Way::Bridge)).unwrap_err());
    assert!(error.starts_with(&format!("there is an interface {qbr} already")), "{error}");
    let error = chain(&run(&runtime, prepare(devices.clone(), Way::Unbridge)).unwrap_err());
    assert!(
        error.starts_with(&format!("{tap} is not a port of the Linux bridge {qbr}")),
        "{error}"
    );
    namespace.ip(&format!("link set dev {tap} master {qbr}")).unwrap();
    run(&runtime, prepare(devices, Way::Unbridge)).unwrap();
}

#[test]
fn a_machine_that_is_joined_to_nothing_goes_back_into_its_linux_bridge() {
    let (namespace, runtime) = scene();
    let devices = HybridDevices::of(port());
    let HybridDevices { tap, qbr, .. } = devices.clone();
    // Nothing was begun.
    finish(&runtime, true);
    assert_eq!(interfaces(&namespace), [&*tap]);
    run(&runtime, prepare(devices, Way::Bridge)).unwrap();
    let master = || {
        let line = shown(&runtime, &tap);
        let mut words = line.split_whitespace();
        words.find(|word| *word == "master").and_then(|_| words.next()).map(str::to_owned)
    };
    for _ in 0..2 {
        finish(&runtime, true);
        assert_eq!(master(), Some(qbr.clone()));
    }
    // It is a port of somebody else's.
    namespace.ip("link add name br0 type bridge").unwrap();
    namespace.ip(&format!("link set dev {tap} master br0")).unwrap();
    finish(&runtime, true);
    assert_eq!(master().as_deref(), Some("br0"));
}

#[test]
fn a_linux_bridge_that_nothing_is_joined_to_goes() {
    let (namespace, runtime) = scene();
    let devices = HybridDevices::of(port());
    let HybridDevices { tap, qbr, qvb, qvo } = devices.clone();
    finish(&runtime, false);
    run(&runtime, prepare(devices.clone(), Way::Bridge)).unwrap();
    // Somebody else uses it.
    namespace.ip(&format!("link set dev far master {qbr}")).unwrap();
    finish(&runtime, false);
    assert_eq!(interfaces(&namespace), [&*qbr, &qvb, &qvo, &tap]);
    namespace.ip("link set dev far nomaster").unwrap();
    finish(&runtime, false);
    assert_eq!(interfaces(&namespace), [&*tap]);
    // Of which there is a part.
    namespace.ip(&format!("link add name {qvo} type veth peer name {qvb}")).unwrap();
    finish(&runtime, false);
    assert_eq!(interfaces(&namespace), [&*tap]);
}
