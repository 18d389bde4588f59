//! The flow that a `learn` action makes from a packet.

use super::packet::{Packet, widened};
use crate::{
    action::{Action, Learn, LearnSpec},
    field::Field,
    flow::Flow,
    matching::Match,
    number::PortNo,
    subfield::Subfield,
};

/// The flow that would be added; its timeouts are the action's.
pub(super) fn learned(learn: &Learn, packet: &Packet) -> Flow {
    let mut matches = Match::new();
    let mut actions = Vec::new();
    for spec in &learn.specs {
        match *spec {
            LearnSpec::Match { dst, src } => matched(&mut matches, dst, packet.read(src)),
            LearnSpec::MatchValue { dst, value } => matched(&mut matches, dst, value),
            LearnSpec::Load { dst, src } => {
                actions.push(Action::SetField { dst, value: packet.read(src) });
            }
            LearnSpec::LoadValue { dst, value } => {
                actions.push(Action::SetField { dst, value });
            }
            LearnSpec::Output(src) => {
                let port = u32::try_from(widened(packet.read(src))).unwrap_or(u32::MAX);
                actions.push(Action::Output(PortNo(port)));
            }
        }
    }
    Flow {
        table: learn.table,
        priority: learn.priority,
        cookie: learn.cookie,
        matches,
        actions: actions.into(),
    }
}

fn matched(matches: &mut Match, dst: Subfield, value: u128) {
    let field = dst.field();
    let (old_value, old_mask) = matches.get(field).unwrap_or_default();
    let mut mask = dst.mask();
    let mut value = (value & dst.full_value()) << dst.lo();
    if field == Field::IN_PORT {
        (value, mask) = (widened(value), u128::MAX);
    }
    matches.set(field, old_value & !mask | value, old_mask | mask);
}
