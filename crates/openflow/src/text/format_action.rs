//! Prints actions.

use super::value;
use crate::{
    action::{
        Action, Controller, Ct, Learn, LearnSpec, Nat, NatPick, NatRange, NatSide, Zone,
        is_set_field,
    },
    field::Format,
    number::{Cookie, PortNo, Priority},
    subfield::Subfield,
};
use std::{fmt, net::IpAddr};

/// A list of actions; none is `drop`.
pub(super) fn list(f: &mut fmt::Formatter<'_>, actions: &[Action]) -> fmt::Result {
    if actions.is_empty() {
        return f.write_str("drop");
    }
    separated(f, actions)
}

fn separated(f: &mut fmt::Formatter<'_>, actions: &[Action]) -> fmt::Result {
    for (index, action) in actions.iter().enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        write!(f, "{action}")?;
    }
    Ok(())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(port @ PortNo(number)) => match port.name() {
                Some(name) => f.write_str(name),
                None => write!(f, "output:{number}"),
            },
            Self::OutputField(src) => write!(f, "output:{src}"),
            Self::Controller(controller) => controller.fmt(f),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::Resubmit(table) => write!(f, "resubmit(,{table})"),
            Self::GotoTable(table) => write!(f, "goto_table:{table}"),
            Self::Meter(meter) => write!(f, "meter:{meter}"),
            Self::PushVlan(tag) => write!(f, "push_vlan:{tag:#06x}"),
            Self::PopVlan => f.write_str("pop_vlan"),
            Self::SetField { dst, value } => set_field(f, *dst, *value),
            Self::Move { src, dst } => write!(f, "move:{src}->{dst}"),
            Self::WriteMetadata { value, mask } => {
                f.write_str("write_metadata:")?;
                value::hex(f, (*value).into())?;
                if *mask == u64::MAX { Ok(()) } else { write!(f, "/{mask:#x}") }
            }
            Self::Ct(ct) => ct.fmt(f),
            Self::Nat(nat) => nat.fmt(f),
            Self::CtClear => f.write_str("ct_clear"),
            Self::Conjunction { id, clause, clauses } => {
                write!(f, "conjunction({id},{clause}/{clauses})")
            }
            Self::Learn(learn) => learn.fmt(f),
            Self::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Self::PopQueue => f.write_str("pop_queue"),
            Self::DecTtl => f.write_str("dec_ttl"),
            Self::Note(note) => {
                f.write_str("note:")?;
                for (index, byte) in note.iter().enumerate() {
                    write!(f, "{}{byte:02x}", if index > 0 { "." } else { "" })?;
                }
                Ok(())
            }
            Self::Foreign(bytes) => {
                f.write_str("action:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::ForeignInstruction(bytes) => {
                f.write_str("instruction:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn set_field(f: &mut fmt::Formatter<'_>, dst: Subfield, value: u128) -> fmt::Result {
    if is_set_field(dst) {
        f.write_str("set_field:")?;
        value::exact(f, dst.field().format(), value)?;
        write!(f, "->{}", dst.field())
    } else if dst.bits() > 64 {
        f.write_str("set_field:")?;
        value::masked(f, dst.field(), value << dst.lo(), dst.mask())?;
        write!(f, "->{}", dst.field())
    } else {
        f.write_str("load:")?;
        value::hex(f, value)?;
        write!(f, "->{dst}")
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id == 0 && self.reason == Self::ACTION {
            return write!(f, "CONTROLLER:{}", self.max_len);
        }
        let mut parts = Parts { f, any: false };
        parts.f.write_str("controller(")?;
        match self.reason {
            Self::ACTION => {}
            0 => parts.put(format_args!("reason=no_match"))?,
            2 => parts.put(format_args!("reason=invalid_ttl"))?,
            other => parts.put(format_args!("reason={other}"))?,
        }
        if self.max_len != u16::MAX {
            parts.put(format_args!("max_len={}", self.max_len))?;
        }
        if self.id != 0 {
            parts.put(format_args!("id={}", self.id))?;
        }
        parts.f.write_str(")")
    }
}

impl fmt::Display for Ct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Parts { f, any: false };
        parts.f.write_str("ct(")?;
        if self.commit {
            parts.put(format_args!("commit"))?;
        }
        if self.force {
            parts.put(format_args!("force"))?;
        }
        if let Some(table) = self.table {
            parts.put(format_args!("table={table}"))?;
        }
        match self.zone {
            Zone::Immediate(0) => {}
            Zone::Immediate(zone) => parts.put(format_args!("zone={zone}"))?,
            Zone::Field(subfield) => parts.put(format_args!("zone={subfield}"))?,
        }
        let mut exec = self.exec.as_slice();
        if let Some((Action::Nat(nat), rest)) = exec.split_first() {
            parts.put(format_args!("{nat}"))?;
            exec = rest;
        }
        if !exec.is_empty() {
            parts.put(format_args!("exec("))?;
            separated(parts.f, exec)?;
            parts.f.write_str(")")?;
        }
        match self.alg {
            0 => {}
            21 => parts.put(format_args!("alg=ftp"))?,
            69 => parts.put(format_args!("alg=tftp"))?,
            other => parts.put(format_args!("alg={other}"))?,
        }
        parts.f.write_str(")")
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nat")?;
        let side = match self.side {
            None => return Ok(()),
            Some(NatSide::Src) => "src",
            Some(NatSide::Dst) => "dst",
        };
        write!(f, "({side}")?;
        let range = match self.addresses {
            NatRange::None => None,
            NatRange::V4(first, last) => Some((IpAddr::from(first), IpAddr::from(last))),
            NatRange::V6(first, last) => Some((IpAddr::from(first), IpAddr::from(last))),
        };
        if let Some((first, last)) = range {
            let bracketed = self.ports.0 != 0;
            f.write_str("=")?;
            nat_address(f, first, bracketed)?;
            if last != first && !last.is_unspecified() {
                f.write_str("-")?;
                nat_address(f, last, bracketed)?;
            }
            if self.ports.0 != 0 {
                write!(f, ":{}", self.ports.0)?;
                if self.ports.1 != 0 && self.ports.1 != self.ports.0 {
                    write!(f, "-{}", self.ports.1)?;
                }
            }
            if self.persistent {
                f.write_str(",persistent")?;
            }
            match self.pick {
                NatPick::Any => {}
                NatPick::Hash => f.write_str(",hash")?,
                NatPick::Random => f.write_str(",random")?,
            }
        }
        f.write_str(")")
    }
}

fn nat_address(f: &mut fmt::Formatter<'_>, address: IpAddr, bracketed: bool) -> fmt::Result {
    match address {
        IpAddr::V6(address) if bracketed => write!(f, "[{address}]"),
        other => write!(f, "{other}"),
    }
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "learn(table={}", self.table)?;
        let timeouts = [
            ("idle_timeout", self.idle_timeout),
            ("hard_timeout", self.hard_timeout),
            ("fin_idle_timeout", self.fin_idle_timeout),
            ("fin_hard_timeout", self.fin_hard_timeout),
        ];
        for (name, seconds) in timeouts {
            if seconds != 0 {
                write!(f, ",{name}={seconds}")?;
            }
        }
        if self.priority != Priority::DEFAULT {
            write!(f, ",priority={}", self.priority)?;
        }
        if self.send_flow_rem {
            f.write_str(",send_flow_rem")?;
        }
        if self.delete_learned {
            f.write_str(",delete_learned")?;
        }
        if self.cookie != Cookie(0) {
            write!(f, ",cookie={}", self.cookie)?;
        }
        if self.limit != 0 {
            write!(f, ",limit={}", self.limit)?;
        }
        for spec in &self.specs {
            write!(f, ",{spec}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for LearnSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Match { dst, src } if dst == src => dst.fmt(f),
            Self::Match { dst, src } => write!(f, "{dst}={src}"),
            Self::MatchValue { dst, value } if dst.is_whole() => {
                write!(f, "{}=", dst.field())?;
                match dst.field().format() {
                    // Flags have words in a match, a number suits both here.
                    Format::CtState | Format::TcpFlags => value::hex(f, value),
                    format => value::exact(f, format, value),
                }
            }
            Self::MatchValue { dst, value } => {
                write!(f, "{dst}=")?;
                value::hex(f, value)
            }
            Self::Load { dst, src } => write!(f, "load:{src}->{dst}"),
            Self::LoadValue { dst, value } => {
                f.write_str("load:")?;
                value::hex(f, value)?;
                write!(f, "->{dst}")
            }
            Self::Output(src) => write!(f, "output:{src}"),
        }
    }
}

/// Parts with commas between them.
struct Parts<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    any: bool,
}

impl Parts<'_, '_> {
    fn put(&mut self, part: fmt::Arguments<'_>) -> fmt::Result {
        if self.any {
            self.f.write_str(",")?;
        }
        self.any = true;
        self.f.write_fmt(part)
    }
}
