//! Security groups, their rules, and address groups.

use model::{
    Direction, EtherType, IpProtocol, PortRange, Remote, SecurityGroupId, SecurityGroupRuleId,
    Transport,
};

use super::{ConvertError, FieldError, Subject};
use crate::object::{AddressGroup, SecurityGroup, SecurityGroupRule};

impl SecurityGroup {
    /// The group as the model has it, with the rules that this object carries.
    ///
    /// # Errors
    ///
    /// An id that is none, or a rule that does not convert.
    pub fn to_model(&self) -> Result<model::SecurityGroup, ConvertError> {
        let subject = Subject { kind: "SecurityGroup", id: &self.id };
        Ok(model::SecurityGroup {
            id: subject.parse("id", &self.id)?,
            rules: self.rules.iter().map(SecurityGroupRule::to_model).collect::<Result<_, _>>()?,
            stateful: self.stateful,
        })
    }
}

impl AddressGroup {
    /// The address group as the model has it.
    ///
    /// # Errors
    ///
    /// An id or a prefix that is none.
    pub fn to_model(&self) -> Result<model::AddressGroup, ConvertError> {
        let subject = Subject { kind: "AddressGroup", id: &self.id };
        Ok(model::AddressGroup {
            id: subject.parse("id", &self.id)?,
            addresses: self
                .addresses
                .iter()
                .map(|one| subject.parse("addresses.address", &one.address))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl SecurityGroupRule {
    /// The rule as the model has it. Protocols whose ports a switch cannot match convert as any
    /// other; whether a rule can be enforced is not decided here.
    ///
    /// # Errors
    ///
    /// A value that is none of its field, and values that do not make a rule together.
    pub fn to_model(&self) -> Result<model::SecurityGroupRule, ConvertError> {
        let subject = self.subject();
        let id: SecurityGroupRuleId = subject.parse("id", &self.id)?;
        let direction: Direction = subject.parse("direction", &self.direction)?;
        let ethertype: EtherType = subject.parse("ethertype", &self.ethertype)?;
        let transport = self.transport(ethertype)?;
        let remote = self.remote()?;
        model::SecurityGroupRule::new(id, direction, ethertype, transport, remote)
            .map_err(|source| self.rule_error(source))
    }

    /// The group that the rule belongs to.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn group(&self) -> Result<SecurityGroupId, ConvertError> {
        self.subject().parse("security_group_id", &self.security_group_id)
    }

    fn subject(&self) -> Subject<'_> {
        Subject { kind: "SecurityGroupRule", id: &self.id }
    }

    fn rule_error(&self, source: model::RuleError) -> ConvertError {
        ConvertError::Rule { id: self.id.clone(), source }
    }

    fn transport(&self, ethertype: EtherType) -> Result<Transport, ConvertError> {
        let subject = self.subject();
        let Some(text) = self.protocol.as_deref() else {
            return match (self.port_range_min, self.port_range_max) {
                (None, None) => Ok(Transport::Any),
                (Some(low), _) => Err(subject.error("port_range_min", low, NEEDS_PROTOCOL)),
                (None, Some(high)) => Err(subject.error("port_range_max", high, NEEDS_PROTOCOL)),
            };
        };
        let protocol: IpProtocol = subject.parse("protocol", text)?;
        match (self.port_range_min, self.port_range_max) {
            (None, None) => Ok(Transport::Protocol(protocol)),
            (Some(kind), code) if is_icmp(protocol, ethertype) => Ok(Transport::Icmp {
                kind: self.number("port_range_min", kind)?,
                code: code.map(|code| self.number("port_range_max", code)).transpose()?,
            }),
            _ if protocol == IpProtocol::ICMP || protocol == IpProtocol::ICMPV6 => {
                Err(if is_icmp(protocol, ethertype) {
                    let code = self.port_range_max.unwrap_or_default();
                    subject.error("port_range_max", code, NEEDS_MIN)
                } else {
                    subject.error("protocol", text, FieldError::Family { ethertype })
                })
            }
            _ if !protocol.has_ports() => {
                Err(self.rule_error(model::RuleError::NoPorts { protocol }))
            }
            (Some(low), Some(high)) => {
                let low = self.number("port_range_min", low)?;
                let high = self.number("port_range_max", high)?;
                let range = PortRange::new(low, high).map_err(|error| self.rule_error(error))?;
                Ok(Transport::Ports { protocol, range })
            }
            (Some(low), None) => Err(subject.error("port_range_min", low, NEEDS_MAX)),
            (None, Some(high)) => Err(subject.error("port_range_max", high, NEEDS_MIN)),
        }
    }

    /// A number that must fit its place in the packet.
    fn number<T>(&self, field: &'static str, value: u32) -> Result<T, ConvertError>
    where
        T: TryFrom<u32> + Bounded,
    {
        T::try_from(value)
            .map_err(|_| self.subject().error(field, value, FieldError::Range { high: T::HIGH }))
    }

    fn remote(&self) -> Result<Remote, ConvertError> {
        const PREFIX: &str = "remote_ip_prefix";
        const GROUP: &str = "remote_group_id";
        const ADDRESS_GROUP: &str = "remote_address_group_id";
        let subject = self.subject();
        let given = [
            (PREFIX, self.remote_ip_prefix.as_deref()),
            (GROUP, self.remote_group_id.as_deref()),
            (ADDRESS_GROUP, self.remote_address_group_id.as_deref()),
        ];
        let mut given = given.into_iter().filter_map(|(field, value)| Some((field, value?)));
        let Some((field, value)) = given.next() else { return Ok(Remote::Any) };
        if let Some((other, _)) = given.next() {
            return Err(subject.error(field, value, FieldError::Conflict { other }));
        }
        match field {
            PREFIX => subject.parse(field, value).map(Remote::Prefix),
            GROUP => subject.parse(field, value).map(Remote::Group),
            _ => subject.parse(field, value).map(Remote::AddressGroup),
        }
    }
}

const NEEDS_PROTOCOL: FieldError = FieldError::Alone { needs: "protocol" };
const NEEDS_MIN: FieldError = FieldError::Alone { needs: "port_range_min" };
const NEEDS_MAX: FieldError = FieldError::Alone { needs: "port_range_max" };

/// A number type and its highest value, for messages.
trait Bounded {
    const HIGH: u32;
}

impl Bounded for u8 {
    const HIGH: u32 = 0xff;
}

impl Bounded for u16 {
    const HIGH: u32 = 0xffff;
}

/// Whether the protocol is ICMP of this family. ICMP's own number means ICMP of either.
fn is_icmp(protocol: IpProtocol, ethertype: EtherType) -> bool {
    protocol == IpProtocol::ICMP || protocol == ethertype.icmp()
}
