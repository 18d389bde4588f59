//! The differences are those of the specification, whatever happens in between.

use std::collections::BTreeSet;

use openflow::{Match, Priority, TableId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bridge::layout;
use crate::sample::{Edit, edit};

/// Something that happens.
#[derive(Debug, Clone)]
enum Happening {
    /// The node changes.
    Edit(Edit),
    /// The switch carries out the first few of the differences.
    Apply(usize),
    /// The switch is reached, and holds every n-th flow that it should, and others.
    Connect(usize),
    /// Somebody takes away every n-th flow that is there, or gives it another cookie, and adds one.
    Interfere { every: usize, delete: bool },
    /// The switch is lost.
    Disconnect,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => edit().prop_map(Happening::Edit),
        3 => prop_oneof![1 => 0..4_usize, 2 => Just(usize::MAX)].prop_map(Happening::Apply),
        1 => (1..3_usize).prop_map(Happening::Connect),
        2 => (1..5_usize, any::<bool>())
            .prop_map(|(every, delete)| Happening::Interfere { every, delete }),
        1 => Just(Happening::Disconnect),
    ]
}

/// A flow that no snapshot asks for.
fn stray(cookie: Cookie) -> Flow {
    let matches = Match::new().in_port(77);
    Flow { table: TableId(0), priority: Priority(9), cookie, matches, actions: [].into() }
}

proptest! {
    #[test]
    fn differences_are_those_of_the_two_sets(happenings in vec(happening(), 1..24)) {
        let mut reconciliation = Reconciliation::<Follower>::default();
        let mut snapshot = Snapshot::default();
        reconciliation.connect(FlowSet::new());
        for happening in happenings {
            match happening {
                Happening::Edit(edit) => edit.apply(&mut snapshot),
                Happening::Apply(count) => {
                    let mut changes = reconciliation.differences(layout::is_weir);
                    changes.truncate(count);
                    reconciliation.apply(&changes);
                }
                Happening::Connect(every) => {
                    let flows = reconciliation.flows().sorted();
                    let mut installed: FlowSet =
                        flows.into_iter().step_by(every).map(|flow| (**flow).clone()).collect();
                    installed.replace(stray(Cookie(1)));
                    installed.replace(stray(Owner::BASE.cookie()));
                    reconciliation.connect(installed);
                }
                Happening::Interfere { every, delete } => {
                    let there = reconciliation.installed().map(FlowSet::sorted).unwrap_or_default();
                    let touched: Vec<_> = there.into_iter().step_by(every).cloned().collect();
                    let strays = [Cookie(1), Owner::BASE.cookie()].map(stray).map(Arc::new);
                    for flow in &touched {
                        let foreign = Arc::new(Flow { cookie: Cookie(1), ..(**flow).clone() });
                        reconciliation.observe(if delete { flow } else { &foreign }, !delete);
                    }
                    for flow in &strays {
                        reconciliation.observe(flow, true);
                    }
                }
                Happening::Disconnect => reconciliation.disconnect(),
            }
            reconciliation.follow(&Arc::new(snapshot.clone()));
            let expected = reconciliation.installed().map_or_else(Vec::new, |installed| {
                reconciliation.flows().diff(installed, layout::is_weir)
            });
            let owner = |change: &FlowMod| Owner::of(change.flow.cookie);
            let lacking: BTreeSet<_> = expected.iter().filter_map(owner).collect();
            prop_assert_eq!(reconciliation.lacking().collect::<BTreeSet<_>>(), lacking);
            prop_assert_eq!(reconciliation.differences(layout::is_weir), expected);
        }
    }
}

#[test]
fn a_flow_that_is_there_is_kept_once() {
    let mut reconciliation = Reconciliation::<Follower>::default();
    let snapshot = Arc::new(Snapshot::default());
    let copies = crate::bridge::desired(&snapshot).flows;
    reconciliation.connect(copies.iter().map(|flow| (**flow).clone()).collect());
    reconciliation.follow(&snapshot);
    let desired = &reconciliation.flows();
    let installed = reconciliation.installed().unwrap();
    assert!(desired.iter().all(|flow| Arc::ptr_eq(flow, installed.get(flow).unwrap())));
    assert!(reconciliation.differences(|_| true).is_empty());
}

/// A set of a few flows that differ in their matches or in their cookies.
fn few() -> impl Strategy<Value = FlowSet> {
    vec((0..6_u32, 0..2_u64), 0..8).prop_map(|flows| {
        let mut set = FlowSet::new();
        for (port, object) in flows {
            let matches = Match::new().in_port(port);
            let cookie = Owner { object, ..Owner::BASE }.cookie();
            let (table, priority, actions) = (TableId(0), Priority(9), [].into());
            set.replace(Flow { table, priority, cookie, matches, actions });
        }
        set
    })
}

proptest! {
    #[test]
    fn wanted_flows_are_compared_too(wanted in vec(few(), 1..6), installed in few()) {
        let mut reconciliation = Reconciliation::<FlowSet>::default();
        reconciliation.connect(installed.clone());
        for wanted in wanted {
            reconciliation.want(wanted.clone());
            let expected = wanted.diff(&installed, layout::is_weir);
            prop_assert_eq!(reconciliation.differences(layout::is_weir), expected);
        }
    }
}

#[test]
fn damage_is_what_was_as_it_should_be_and_is_ours_to_mend() {
    let flow = |text: &str| Arc::new(text.parse::<Flow>().unwrap());
    let ours = |rest: &str| flow(&format!("cookie={},table=0,{rest}", Owner::BASE.cookie()));
    let (first, second) = (ours("priority=1,actions=drop"), ours("priority=2,actions=drop"));
    let wanted: FlowSet = [&first, &second].into_iter().cloned().collect();
    let mut bridge = Reconciliation::<FlowSet>::default();
    bridge.want(wanted.clone());
    assert_eq!(bridge.observe(&first, false), None, "nobody knows what it holds");
    bridge.connect(wanted);

    // As it was: with its counters set back at most.
    assert_eq!(bridge.observe(&first, true), None);
    assert!(!bridge.differs(&first));
    assert_eq!(bridge.observe(&first, false), Some(Damage::Removed));
    assert_eq!(bridge.observe(&first, false), None, "it was gone already");
    assert!(bridge.differs(&first) && !bridge.differs(&second));
    let changed = flow("cookie=1,table=0,priority=2,actions=output:1");
    assert_eq!(bridge.observe(&changed, true), Some(Damage::Changed));
    assert_eq!(bridge.observe(&flow("cookie=1,table=0,priority=2,actions=drop"), true), None);

    // Under a cookie of theirs it is theirs.
    assert_eq!(bridge.observe(&flow("cookie=1,table=0,priority=3,actions=drop"), true), None);
    let added = ours("priority=4,actions=output:1");
    assert_eq!(bridge.observe(&added, true), Some(Damage::Added));
    assert_eq!(bridge.observe(&added, true), None);
    let mends: Vec<_> =
        bridge.differences(layout::is_weir).iter().map(|change| change.to_string()).collect();
    assert_eq!(mends.len(), 3, "{mends:?}");
    assert_eq!(bridge.observe(&added, false), None, "they have taken it away again");
    // Or put it back.
    assert_eq!(bridge.observe(&first, true), None);
    assert_eq!(bridge.differences(layout::is_weir), [FlowMod::add(second)]);
}
