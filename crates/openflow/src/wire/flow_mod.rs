//! Changes to flow tables, `ofp_flow_mod`. OpenFlow 1.4.1 § 7.3.4.1.

use super::{Write, instruction, oxm};
use crate::{
    action::Action,
    flow::{Command, FlowMod},
    number::PortNo,
};

const NO_BUFFER: u32 = u32::MAX;
const ANY_GROUP: u32 = u32::MAX;

/// Appends the body of the message.
pub(crate) fn encode(out: &mut Vec<u8>, flow_mod: &FlowMod) {
    let FlowMod { command, flow, idle_timeout, hard_timeout, flags, cookie_mask } = flow_mod;
    out.put_u64(flow.cookie.0);
    out.put_u64(*cookie_mask);
    out.put_u8(flow.table.0);
    out.put_u8(match command {
        Command::Add => 0,
        Command::Modify => 1,
        Command::ModifyStrict => 2,
        Command::Delete => 3,
        Command::DeleteStrict => 4,
    });
    out.put_u16(*idle_timeout);
    out.put_u16(*hard_timeout);
    out.put_u16(flow.priority.0);
    out.put_u32(NO_BUFFER);
    out.put_u32(out_port(flow_mod).0);
    out.put_u32(ANY_GROUP);
    out.put_u16(flags.0);
    out.put_u16(0); // importance
    oxm::encode(out, &flow.matches);
    if !matches!(command, Command::Delete | Command::DeleteStrict) {
        instruction::encode(out, &flow.actions);
    }
}

/// The port to which a flow must send packets to be deleted among many.
fn out_port(flow_mod: &FlowMod) -> PortNo {
    let mut actions = flow_mod.flow.actions.iter().filter(|_| flow_mod.command == Command::Delete);
    let port = actions.find_map(|action| match action {
        Action::Output(port) => Some(*port),
        _ => None,
    });
    port.unwrap_or(PortNo::ANY)
}
