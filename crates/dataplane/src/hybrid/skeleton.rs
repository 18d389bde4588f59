//! The chains that there are without any port, and the rules of a port in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{CtZone, HybridDevices};

use super::name::{ChainName, SG_CHAIN, SG_FALLBACK, TOP};
use super::netfilter::{Table, TableName, Tables};
use super::rule::{Rule, RuleMatch, Target};
use super::{Port, Way};

const PREROUTING: &str = "PREROUTING";
const INPUT: &str = "INPUT";
const FORWARD: &str = "FORWARD";
const OUTPUT: &str = "OUTPUT";
/// Where Neutron's other programs may put what precedes everything; nothing is in it here.
const LOCAL: &str = "local";

/// The chains that there are for every port. Each chain of the kernel that matters calls one of
/// the same name of ours; FORWARD and OUTPUT call the one that Neutron's programs share, too.
pub(super) fn tables() -> Tables {
    let raw = table(&[PREROUTING, OUTPUT]);
    let nat = table(&[PREROUTING]);
    let mut filter = table(&[INPUT, FORWARD, OUTPUT]);
    let to_top = Rule::all(Target::Jump(ChainName::exactly(TOP)));
    for chain in [FORWARD, OUTPUT] {
        let rules = filter.shared.entry(ChainName::exactly(chain)).or_default();
        Arc::make_mut(rules).insert(0, to_top.clone());
    }
    let local = ChainName::ours(LOCAL);
    filter.own.insert(local.clone(), Arc::default());
    filter.shared.insert(ChainName::exactly(TOP), Arc::new(vec![Rule::all(Target::Jump(local))]));
    filter.own.insert(ChainName::ours(SG_CHAIN), Arc::default());
    filter.own.insert(fallback(), Arc::new(vec![Rule::all(Target::Drop)]));
    let tables = [(TableName::Raw, raw), (TableName::Nat, nat), (TableName::Filter, filter)];
    Tables(BTreeMap::from(tables))
}

/// The chain that drops.
pub(super) fn fallback() -> ChainName {
    ChainName::ours(SG_FALLBACK)
}

/// Sends the packets of a port on their way. A packet that passes goes on to the rules that this
/// host has for what is delivered to it, and on the bridge it is accepted.
pub(super) fn port(
    tables: &mut Tables,
    port: &Port,
    way: Way,
    devices: &HybridDevices,
    stateless: bool,
) {
    let out = || RuleMatch::BridgedOut(devices.tap.clone());
    let into = || RuleMatch::BridgedIn(devices.tap.clone());
    let chains = super::PortChains::of(port.port.id);
    let (ingress, egress) = match way {
        Way::Open => {
            let accept = [out(), into()].map(|device| Rule::all(Target::Accept).with(device));
            append(tables, TableName::Filter, FORWARD, accept);
            append(tables, TableName::Nat, PREROUTING, past_nat(devices));
            return;
        }
        Way::Closed => (fallback(), fallback()),
        Way::Filtered => (chains.ingress, chains.egress),
    };
    let all = || Rule::all(Target::Jump(ChainName::ours(SG_CHAIN)));
    append(tables, TableName::Filter, FORWARD, [all().with(out()), all().with(into())]);
    let to = |chain: &ChainName, device| Rule::all(Target::Jump(chain.clone())).with(device);
    let both = [to(&ingress, out()), to(&egress, into())];
    append(tables, TableName::Filter, SG_CHAIN, both);
    // What is delivered to this host is not bridged.
    let delivered = to(&egress, RuleMatch::PhysdevIn(devices.tap.clone()));
    append(tables, TableName::Filter, INPUT, [delivered]);
    append(tables, TableName::Nat, PREROUTING, past_nat(devices));
    if way == Way::Filtered {
        append(tables, TableName::Raw, PREROUTING, tracking(devices, port.zone, stateless));
    }
}

/// Ends the chain that all ports go through.
pub(super) fn close(tables: &mut Tables) {
    append(tables, TableName::Filter, SG_CHAIN, [Rule::all(Target::Accept)]);
}

/// Nothing that this host translates is a machine's, in either direction.
fn past_nat(devices: &HybridDevices) -> [Rule; 2] {
    from_either(devices, Target::Accept)
}

/// The zone that connections of the port are in, seen from both sides.
fn tracking(devices: &HybridDevices, zone: Option<CtZone>, stateless: bool) -> Vec<Rule> {
    let target = match zone {
        _ if stateless => Some(Target::NoTrack),
        zone => zone.map(Target::Zone),
    };
    target.into_iter().flat_map(|target| from_either(devices, target)).collect()
}

fn from_either(devices: &HybridDevices, target: Target) -> [Rule; 2] {
    [&devices.qvb, &devices.tap]
        .map(|device| Rule::all(target.clone()).with(RuleMatch::PhysdevIn(device.clone())))
}

/// A table in which these chains of the kernel call ours.
fn table(chains: &[&str]) -> Table {
    let mut table = Table::default();
    for chain in chains {
        let ours = ChainName::ours(chain);
        let call = Rule::all(Target::Jump(ours.clone()));
        table.shared.insert(ChainName::exactly(chain), Arc::new(vec![call]));
        table.own.insert(ours, Arc::default());
    }
    table
}

fn append(
    tables: &mut Tables,
    table: TableName,
    chain: &str,
    rules: impl IntoIterator<Item = Rule>,
) {
    let table = tables.0.entry(table).or_default();
    Arc::make_mut(table.own.entry(ChainName::ours(chain)).or_default()).extend(rules);
}
