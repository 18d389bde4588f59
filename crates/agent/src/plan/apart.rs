//! Which changes need not hold together, so that the switch may make some and refuse others. Pure.
//!
//! A flow of a class says of one address in one direction which groups it belongs to. Where one such
//! flow is refused its class is held back, and the next plan would make the changes of all other
//! classes without it. Of the same class each flow stands for itself, too: one that is added says
//! what is wanted of its packets, and so does one that goes, where nothing comes in its place.

use dataplane::bridge::layout::{Kind, Owner};
use openflow::{Command, FlowMod};

/// Whether each of these changes may be made where another one is refused: they are of classes, and
/// only add or only take away. One that comes and one that goes may say the same of an address in
/// other words, as a prefix and a longer one.
pub(crate) fn may_come_apart(changes: &[FlowMod]) -> bool {
    let is_delete = |change: &FlowMod| change.command == Command::DeleteStrict;
    let of_class = |change: &FlowMod| {
        Owner::of(change.flow.cookie).is_some_and(|owner| owner.kind == Kind::Class)
    };
    changes.iter().all(of_class)
        && (changes.iter().all(is_delete) || !changes.iter().any(is_delete))
}

#[cfg(test)]
mod tests {
    use model::PortId;
    use openflow::Flow;
    use policy::ClassId;

    use super::*;

    #[test]
    fn members_come_or_go_and_nothing_else() {
        let flow = |owner: Owner, table| {
            let text =
                format!("cookie={},table={table},ip,nw_src=10.0.0.1 actions=drop", owner.cookie());
            text.parse::<Flow>().unwrap()
        };
        let class = |table| flow(Owner::class(ClassId(5)), table);
        let port = flow(Owner::port(PortId::new(uuid::Uuid::nil())), 174);
        let delete = |flow: Flow| FlowMod::delete_strict(flow.key());
        let of_class = |flow: Flow| FlowMod::new(Command::DeleteStrict, flow);
        for (changes, apart) in [
            (vec![FlowMod::add(class(174)), FlowMod::add(class(184))], true),
            (vec![of_class(class(174)), of_class(class(184))], true),
            (vec![FlowMod::add(class(174)), of_class(class(184))], false),
            (vec![FlowMod::add(class(174)), FlowMod::add(port)], false),
            // What it was for is not said.
            (vec![delete(class(174))], false),
        ] {
            assert_eq!(may_come_apart(&changes), apart, "{changes:?}");
        }
    }
}
