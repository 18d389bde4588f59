//! A follower holds what the specification says, and tells what changed.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::bridge::desired;
use crate::bridge::layout::SETS;
use crate::sample::edit;

/// How many rule flows match the bit of a group.
fn bits(flows: &FlowSet) -> usize {
    let bits = |flow: &&Arc<Flow>| SETS.iter().any(|word| flow.matches.get(word.field()).is_some());
    flows.iter().filter(bits).count()
}

#[test]
fn following_is_computing_anew() {
    let turns = Cell::new(0);
    let outcome = TestRunner::default().run(&vec(vec(edit(), 1..4), 1..16), |steps| {
        let mut follower = Follower::default();
        let mut snapshot = Snapshot::default();
        let mut before = FlowSet::new();
        for edits in steps {
            edits.into_iter().for_each(|edit| edit.apply(&mut snapshot));
            let touched: FlowSet =
                follower.follow(&Arc::new(snapshot.clone())).into_iter().collect();
            let now = desired(&snapshot);
            prop_assert_eq!(follower.desired(), &now);

            let changes = now.flows.diff(&before, |_| true);
            prop_assert!(changes.iter().all(|change| touched.get(&change.flow).is_some()));
            prop_assert_eq!(changes.len(), touched.len(), "what is untouched is not told");
            turns.set(turns.get() + usize::from((bits(&before) == 0) != (bits(&now.flows) == 0)));
            before = now.flows;
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(turns.get() > 3, "bits came or went {} times", turns.get());
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let mut follower = Follower::default();
    let snapshot = Arc::new(Snapshot::default());
    assert!(!follower.follow(&snapshot).is_empty(), "the frame of the pipeline");
    assert!(follower.follow(&snapshot).is_empty());
}
