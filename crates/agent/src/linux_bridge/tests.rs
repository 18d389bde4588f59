//! With the interfaces of a network namespace of its own.

use testkit::Namespace;
use tokio::runtime::Runtime;

use super::*;

const QBR: &str = "qbr11111111-11";
const QVB: &str = "qvb11111111-11";
const QVO: &str = "qvo11111111-11";
const TAP: &str = "tap11111111-11";

fn devices() -> HybridDevices {
    HybridDevices::of("11111111-1111-4111-8111-111111111111".parse().unwrap())
}

/// A namespace, and a runtime whose threads are in it.
fn scene() -> (Namespace, Runtime) {
    let namespace = Namespace::create("linuxbr").unwrap();
    let runtime = namespace.inside(Runtime::new).unwrap().unwrap();
    (namespace, runtime)
}

/// Does it in a thread of the runtime.
fn run<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).unwrap()
}

fn interfaces(namespace: &Namespace) -> Vec<String> {
    let mut names = namespace.interfaces().unwrap();
    names.sort();
    names
}

#[test]
fn an_interface_is_in_the_bridge_or_not() {
    let (namespace, runtime) = scene();
    namespace.ip(&format!("link add name {TAP} type veth peer name far")).unwrap();
    namespace.ip("link add name other type bridge").unwrap();
    let bridge = run(&runtime, LinuxBridge::make(devices(), 1442)).unwrap();
    let bridge = run(&runtime, async move {
        assert!(!bridge.holds(TAP).await.unwrap());
        bridge.detach(TAP).await.unwrap();
        for _ in 0..2 {
            bridge.attach(TAP).await.unwrap();
            assert!(bridge.holds(TAP).await.unwrap());
        }
        bridge.detach(TAP).await.unwrap();
        assert!(!bridge.holds(TAP).await.unwrap());
        bridge
    });
    // What is in the bridge of somebody else stays there.
    namespace.ip(&format!("link set dev {TAP} master other")).unwrap();
    run(&runtime, async move {
        assert!(!bridge.holds(TAP).await.unwrap());
        bridge.detach(TAP).await.unwrap();
        let shown = ip(&["link", "show", "dev", TAP]).await.unwrap();
        assert!(shown.contains("master other"), "{shown}");
        for error in [
            bridge.holds("nowhere").await.unwrap_err(),
            bridge.attach("nowhere").await.unwrap_err(),
            bridge.detach("nowhere").await.unwrap_err(),
        ] {
            let error = chain(&error);
            assert!(error.contains("nowhere") && error.contains("No such device"), "{error}");
        }
        ip(&["link", "delete", "dev", QBR]).await.unwrap();
        assert!(!bridge.holds(TAP).await.unwrap());
        bridge.detach(TAP).await.unwrap();
        assert!(bridge.attach(TAP).await.is_err());
    });
}

#[test]
fn what_was_made_is_found_and_deleted() {
    let (namespace, runtime) = scene();
    assert!(run(&runtime, LinuxBridge::find(devices())).unwrap().is_none());
    run(&runtime, LinuxBridge::make(devices(), 1442)).unwrap();
    assert_eq!(interfaces(&namespace), [QBR, QVB, QVO]);
    let found = run(&runtime, LinuxBridge::find(devices())).unwrap().unwrap();
    assert_eq!(run(&runtime, found.delete()).unwrap(), [QVB, QBR]);
    assert_eq!(interfaces(&namespace), Vec::<String>::new());
    // A part of it is found, too.
    namespace.ip(&format!("link add name {QBR} type bridge")).unwrap();
    let found = run(&runtime, LinuxBridge::find(devices())).unwrap().unwrap();
    assert_eq!(run(&runtime, found.delete()).unwrap(), [QBR]);
}

#[test]
fn what_has_one_of_the_names_is_left_alone() {
    for taken in [QBR, QVB, QVO] {
        let (namespace, runtime) = scene();
        namespace.ip(&format!("link add name {taken} type bridge")).unwrap();
        let made = run(&runtime, LinuxBridge::make(devices(), 1442));
        let error = made.unwrap_err().to_string();
        assert!(error.contains(taken) && error.contains("weir unplug"), "{error}");
        assert_eq!(interfaces(&namespace), [taken]);
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let (namespace, runtime) = scene();
    // No interface has an MTU of less than 68 bytes.
    let made = run(&runtime, LinuxBridge::make(devices(), 1));
    assert!(matches!(made, Err(LinuxBridgeError::Device(DeviceError::Refused { .. }))), "{made:?}");
    assert_eq!(interfaces(&namespace), Vec::<String>::new());
}
