//! The machine: lookups, actions, resubmits and passes through connection tracking.
//!
//! Resubmits are a list of flows under way, not calls within calls, so that no flow table can
//! exhaust the stack.

use super::{
    Conntrack, CtEntry, Effect, Fault, Run, Step,
    learn::learned,
    packet::{Packet, widened},
    table::Tables,
};
use crate::{
    action::{Action, Controller, Ct, Zone, settable},
    field::Field,
    flow::Flow,
    matching::CtState,
    number::{Cookie, PortNo, TableId},
};
use std::{collections::VecDeque, slice};

/// As a switch: how many resubmits to the same or an earlier table may be within each other.
pub(super) const MAX_DEPTH: usize = 64;
/// As a switch: how many resubmits there may be in one pass.
pub(super) const MAX_RESUBMITS: usize = 4096;
/// As a switch: how often a packet may come back from connection tracking.
const MAX_PASSES: usize = 6;
/// How many copies of a packet may come back from connection tracking. A switch has no such
/// number, but time that runs out.
const MAX_COPIES: usize = 4096;

/// Sends a packet through flow tables, from table 0 on.
pub fn run<'t>(tables: &'t Tables, packet: Packet, conntrack: &mut impl Conntrack) -> Run<'t> {
    let mut run = Run { effects: Vec::new(), steps: Vec::new(), fault: None };
    let mut waiting =
        VecDeque::from([Waiting { packet, table: TableId(0), pass: 0, tracked: None }]);
    let mut copies = 0;
    while let Some(Waiting { mut packet, table, pass, tracked }) = waiting.pop_front() {
        if let Some(tracked) = tracked {
            let entry = conntrack.lookup(tracked.zone, &packet);
            tracked.apply(entry, &mut packet);
        }
        let mut machine = Machine::new(tables, packet, pass);
        let fault = match machine.go(table) {
            Ok(()) => machine.forks.first().and_then(|fork| {
                copies += machine.forks.len();
                let over = pass >= MAX_PASSES || copies > MAX_COPIES;
                over.then_some(Fault::TooManyPasses { table: fork.table })
            }),
            Err(fault) => Some(fault),
        };
        run.steps.append(&mut machine.steps);
        match fault {
            // A switch drops what it cannot translate to its end; what it has learned stays.
            Some(fault) => {
                run.fault = run.fault.or(Some(fault));
                machine.effects.retain(|effect| matches!(effect, Effect::Learn(_)));
                run.effects.append(&mut machine.effects);
            }
            None => {
                run.effects.append(&mut machine.effects);
                waiting.extend(machine.forks);
            }
        }
    }
    if run.is_dropped() {
        run.effects.push(Effect::Drop);
    }
    run
}

/// A packet that is to go through the tables.
struct Waiting {
    packet: Packet,
    table: TableId,
    pass: usize,
    tracked: Option<Tracked>,
}

/// How a packet comes back from connection tracking.
struct Tracked {
    zone: u16,
    /// Written to the connection on the way.
    mark: Option<u32>,
    label: Option<u128>,
}

impl Tracked {
    fn apply(&self, entry: CtEntry, packet: &mut Packet) {
        packet.forget_tracking();
        packet.set(Field::CT_STATE, (entry.state | CtState::TRK).0.into());
        packet.set(Field::CT_ZONE, self.zone.into());
        packet.set(Field::CT_MARK, self.mark.unwrap_or(entry.mark).into());
        packet.set(Field::CT_LABEL, self.label.unwrap_or(entry.label));
    }
}

/// One pass of a packet.
struct Machine<'t> {
    tables: &'t Tables,
    packet: Packet,
    pass: usize,
    /// Flows under way, the innermost last.
    frames: Vec<Frame<'t>>,
    /// How many of them went back.
    depth: usize,
    resubmits: usize,
    steps: Vec<Step<'t>>,
    effects: Vec<Effect>,
    forks: Vec<Waiting>,
}

/// A flow whose actions are being carried out.
struct Frame<'t> {
    table: TableId,
    cookie: Cookie,
    rest: slice::Iter<'t, Action>,
    /// It was resubmitted to from the same or a later table.
    went_back: bool,
}

impl<'t> Machine<'t> {
    fn new(tables: &'t Tables, packet: Packet, pass: usize) -> Self {
        Self {
            tables,
            packet,
            pass,
            frames: Vec::new(),
            depth: 0,
            resubmits: 0,
            steps: Vec::new(),
            effects: Vec::new(),
            forks: Vec::new(),
        }
    }

    fn go(&mut self, table: TableId) -> Result<(), Fault> {
        self.enter(table, false)?;
        while let Some(frame) = self.frames.last_mut() {
            let (table, cookie) = (frame.table, frame.cookie);
            match frame.rest.next() {
                None => self.leave(),
                Some(Action::Resubmit(TableId::ALL)) => self.resubmit(table, table)?,
                Some(Action::Resubmit(to) | Action::GotoTable(to)) => self.resubmit(table, *to)?,
                Some(Action::Foreign(_) | Action::ForeignInstruction(_)) => {
                    return Err(Fault::ForeignAction { table, cookie });
                }
                Some(action) => self.act(action),
            }
        }
        self.note_registers();
        Ok(())
    }

    fn resubmit(&mut self, from: TableId, to: TableId) -> Result<(), Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault::TooDeep { table: to });
        }
        if self.resubmits >= MAX_RESUBMITS {
            return Err(Fault::TooManyResubmits { table: to });
        }
        self.enter(to, to <= from)
    }

    fn enter(&mut self, table: TableId, went_back: bool) -> Result<(), Fault> {
        self.note_registers();
        let flow: Option<&'t Flow> = self.tables.lookup(table, &self.packet)?;
        self.steps.push(Step {
            table,
            flow,
            pass: self.pass,
            depth: self.frames.len(),
            ct_state: CtState(u32::try_from(self.packet.get(Field::CT_STATE)).unwrap_or_default()),
            registers: [0; 16],
        });
        if let Some(flow) = flow {
            // Only resubmits that lead to a flow count; the first lookup is none.
            self.resubmits += usize::from(!self.frames.is_empty());
            self.depth += usize::from(went_back);
            let rest = flow.actions.iter();
            self.frames.push(Frame { table, cookie: flow.cookie, rest, went_back });
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.depth -= usize::from(frame.went_back);
        }
    }

    fn note_registers(&mut self) {
        let registers = self.packet.registers();
        if let Some(step) = self.steps.last_mut() {
            step.registers = registers;
        }
    }

    /// Everything that does not lead to another table.
    fn act(&mut self, action: &Action) {
        match action {
            Action::Output(port) => self.output(*port),
            Action::OutputField(src) => {
                // What does not fit the numbering of OpenFlow 1.0 is no port.
                if let Ok(port) = u16::try_from(self.packet.read(*src)) {
                    self.output(PortNo(u32::try_from(widened(port.into())).unwrap_or(u32::MAX)));
                }
            }
            Action::Controller(how) => self.tell_controller(*how),
            Action::Group(group) => {
                self.effects.push(Effect::Group { group: *group, packet: self.packet.clone() });
            }
            Action::PushVlan(_) => self.packet.push_tag(),
            Action::PopVlan => self.packet.pop_tag(),
            Action::SetField { .. } | Action::Move { .. } => rewrite(&mut self.packet, action),
            Action::WriteMetadata { value, mask } => {
                let metadata = self.packet.get(Field::METADATA);
                let (value, mask) = (u128::from(*value), u128::from(*mask));
                self.packet.set(Field::METADATA, metadata & !mask | value & mask);
            }
            Action::Ct(ct) => self.track(ct),
            // As a switch, which leaves a packet alone that did not come from tracking.
            Action::CtClear if self.packet.get(Field::CT_STATE) != 0 => {
                self.packet.forget_tracking();
            }
            Action::Learn(learn) => self.effects.push(Effect::Learn(learned(learn, &self.packet))),
            Action::DecTtl => self.lower_ttl(),
            // They change nothing that is modelled here, or were dealt with before.
            Action::CtClear
            | Action::Meter(_)
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::Note(_)
            | Action::Nat(_)
            | Action::Conjunction { .. }
            | Action::Resubmit(_)
            | Action::GotoTable(_)
            | Action::Foreign(_)
            | Action::ForeignInstruction(_) => {}
        }
    }

    fn output(&mut self, port: PortNo) {
        let in_port = self.packet.in_port();
        let packet = self.packet.clone();
        match port {
            PortNo::NORMAL => self.effects.push(Effect::Normal { packet }),
            PortNo::CONTROLLER => self.tell_controller(Controller::default()),
            PortNo::IN_PORT => self.effects.push(Effect::Output { port: in_port, packet }),
            // No packet goes back where it came from unless that is said.
            port if port == in_port => {}
            PortNo::TABLE | PortNo::ANY => {}
            port => self.effects.push(Effect::Output { port, packet }),
        }
    }

    fn tell_controller(&mut self, how: Controller) {
        self.effects.push(Effect::Controller { how, packet: self.packet.clone() });
    }

    /// The packet goes on here without its tracking state, and a copy comes back with it.
    fn track(&mut self, ct: &Ct) {
        let zone = match ct.zone {
            Zone::Immediate(zone) => zone,
            Zone::Field(src) => u16::try_from(self.packet.read(src) & 0xffff).unwrap_or_default(),
        };
        let mut changed = self.packet.clone();
        for action in &ct.exec {
            rewrite(&mut changed, action);
        }
        let writes = |field| ct.exec.iter().any(|action| target(action) == Some(field));
        let mark = u32::try_from(changed.get(Field::CT_MARK)).unwrap_or_default();
        let mark = writes(Field::CT_MARK).then_some(mark);
        let label = writes(Field::CT_LABEL).then_some(changed.get(Field::CT_LABEL));
        if ct.commit {
            self.effects.push(Effect::Commit { zone, mark, label, force: ct.force });
        }
        if let Some(table) = ct.table {
            let tracked = Some(Tracked { zone, mark, label });
            let packet = self.packet.clone();
            self.forks.push(Waiting { packet, table, pass: self.pass + 1, tracked });
        }
        self.packet.forget_tracking();
    }

    /// An expired packet goes to the controller, and this flow ends.
    fn lower_ttl(&mut self) {
        if !self.packet.has(Field::IP_TTL) {
            return;
        }
        match self.packet.get(Field::IP_TTL) {
            0 | 1 => {
                self.tell_controller(Controller { reason: 2, ..Controller::default() });
                self.leave();
            }
            ttl => self.packet.set(Field::IP_TTL, ttl - 1),
        }
    }
}

/// The field that an action writes.
fn target(action: &Action) -> Option<Field> {
    match action {
        Action::SetField { dst, .. } | Action::Move { dst, .. } => Some(dst.field()),
        _ => None,
    }
}

/// Carries out an action that writes to a field; another does nothing.
fn rewrite(packet: &mut Packet, action: &Action) {
    match action {
        Action::SetField { dst, value } => packet.write(*dst, *value, settable(*dst)),
        Action::Move { src, dst } if packet.has(src.field()) => {
            packet.write(*dst, packet.read(*src), dst.full_value());
        }
        _ => {}
    }
}
