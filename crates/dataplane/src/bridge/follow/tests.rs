//! A follower holds what the specification says, and tells what changed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bridge::desired;
use crate::sample::edit;

proptest! {
    #[test]
    fn following_is_computing_anew(steps in vec(vec(edit(), 1..4), 1..16)) {
        let mut follower = Follower::default();
        let mut snapshot = Snapshot::default();
        let mut before = FlowSet::new();
        for edits in steps {
            edits.into_iter().for_each(|edit| edit.apply(&mut snapshot));
            let touched: FlowSet = follower.follow(&Arc::new(snapshot.clone())).into_iter().collect();
            let now = desired(&snapshot);
            prop_assert_eq!(follower.desired(), &now);

            let changes = now.flows.diff(&before, |_| true);
            prop_assert!(changes.iter().all(|change| touched.get(&change.flow).is_some()));
            prop_assert_eq!(changes.len(), touched.len(), "what is untouched is not told");
            before = now.flows;
        }
    }
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let mut follower = Follower::default();
    let snapshot = Arc::new(Snapshot::default());
    assert!(!follower.follow(&snapshot).is_empty(), "the frame of the pipeline");
    assert!(follower.follow(&snapshot).is_empty());
}
