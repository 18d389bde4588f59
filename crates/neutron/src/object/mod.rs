//! Neutron's versioned objects: what a server pushes to agents and agents pull.
//!
//! The structs have Neutron's fields under Neutron's names, with ids, addresses and dates still
//! text: they say what the wire said, and `convert` makes the model's values of them. A field
//! without a type here is kept in `extra`, so an object that is read and sent on loses nothing.
//! Columns that are null are left out, computed fields that are null are sent as null, as
//! Neutron does. The versions are those of Neutron 29.0.0.

mod envelope;
mod json_text;
mod network;
mod port;
mod qos;
mod security_group;
#[cfg(test)]
mod tests;
mod trunk;

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use self::envelope::{Envelope, Versioned};
pub(crate) use self::envelope::{covers, set_version};
pub use self::network::{IpAllocationPool, Network, NetworkPortSecurity, NetworkSegment, Subnet};
pub use self::port::{
    AllowedAddressPair, IpAllocation, Port, PortBinding, PortBindingLevel, PortSecurity,
};
pub use self::qos::{
    QosBandwidthLimitRule, QosDscpMarkingRule, QosMinimumBandwidthRule, QosMinimumPacketRateRule,
    QosPacketRateLimitRule, QosPolicy, QosRule,
};
pub use self::security_group::{
    AddressAssociation, AddressGroup, SecurityGroup, SecurityGroupRule,
};
pub use self::trunk::{SubPort, Trunk};

/// The types that are pushed and pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// [`Port`].
    Port,
    /// [`Network`].
    Network,
    /// [`Subnet`].
    Subnet,
    /// [`SecurityGroup`].
    SecurityGroup,
    /// [`SecurityGroupRule`].
    SecurityGroupRule,
    /// [`AddressGroup`].
    AddressGroup,
    /// [`QosPolicy`].
    QosPolicy,
    /// [`Trunk`].
    Trunk,
    /// [`SubPort`].
    SubPort,
}

/// An object of any of the types that are pushed and pulled.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few are on their way at a time")]
pub enum Object {
    /// A port.
    Port(Port),
    /// A network.
    Network(Network),
    /// A subnet.
    Subnet(Subnet),
    /// A security group.
    SecurityGroup(SecurityGroup),
    /// A rule of a security group.
    SecurityGroupRule(SecurityGroupRule),
    /// An address group.
    AddressGroup(AddressGroup),
    /// A QoS policy.
    QosPolicy(QosPolicy),
    /// A trunk.
    Trunk(Trunk),
    /// A subport of a trunk.
    SubPort(SubPort),
}

impl ResourceType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::Port,
        Self::Network,
        Self::Subnet,
        Self::SecurityGroup,
        Self::SecurityGroupRule,
        Self::AddressGroup,
        Self::QosPolicy,
        Self::Trunk,
        Self::SubPort,
    ];

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => Port::NAME,
            Self::Network => Network::NAME,
            Self::Subnet => Subnet::NAME,
            Self::SecurityGroup => SecurityGroup::NAME,
            Self::SecurityGroupRule => SecurityGroupRule::NAME,
            Self::AddressGroup => AddressGroup::NAME,
            Self::QosPolicy => QosPolicy::NAME,
            Self::Trunk => Trunk::NAME,
            Self::SubPort => SubPort::NAME,
        }
    }

    /// The version that is sent, and the highest that is understood.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Port => Port::VERSION,
            Self::Network => Network::VERSION,
            Self::Subnet => Subnet::VERSION,
            Self::SecurityGroup => SecurityGroup::VERSION,
            Self::SecurityGroupRule => SecurityGroupRule::VERSION,
            Self::AddressGroup => AddressGroup::VERSION,
            Self::QosPolicy => QosPolicy::VERSION,
            Self::Trunk => Trunk::VERSION,
            Self::SubPort => SubPort::VERSION,
        }
    }

    /// The oldest version that is understood: that of Neutron 2024.1. It is what agents ask for, for
    /// a server makes an older object of its own, but not a newer one.
    pub const fn oldest(self) -> &'static str {
        match self {
            Self::Port => "1.9",
            Self::Network | Self::Subnet => "1.1",
            other => other.version(),
        }
    }

    /// Every version that is understood, the newest last. A server always pushes its own, which
    /// nobody has to ask for.
    pub fn versions(self) -> impl Iterator<Item = String> {
        let minor = |version| envelope::parse(version).map_or(0, |(_, minor)| minor);
        let major = envelope::parse(self.version()).map_or(0, |(major, _)| major);
        (minor(self.oldest())..=minor(self.version())).map(move |minor| format!("{major}.{minor}"))
    }

    /// Whether objects of this version are understood, and made.
    pub fn speaks(self, version: &str) -> bool {
        covers(self.version(), version) && covers(version, self.oldest())
    }

    /// The topic that pushes of this version of it go to.
    pub fn topic(self, version: &str) -> String {
        format!("neutron-vo-{}-{version}", self.name())
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Evaluates one expression for whatever the object is.
macro_rules! each {
    ($object:expr, $inner:ident => $value:expr) => {
        match $object {
            Object::Port($inner) => $value,
            Object::Network($inner) => $value,
            Object::Subnet($inner) => $value,
            Object::SecurityGroup($inner) => $value,
            Object::SecurityGroupRule($inner) => $value,
            Object::AddressGroup($inner) => $value,
            Object::QosPolicy($inner) => $value,
            Object::Trunk($inner) => $value,
            Object::SubPort($inner) => $value,
        }
    };
}

impl Object {
    /// What a `deleted` push says of an object: its id, which of a subport is that of its port.
    pub fn deleted(resource: ResourceType, id: impl Into<String>) -> Self {
        let id = id.into();
        match resource {
            ResourceType::Port => Self::Port(Port { id, ..Port::default() }),
            ResourceType::Network => Self::Network(Network { id, ..Network::default() }),
            ResourceType::Subnet => Self::Subnet(Subnet { id, ..Subnet::default() }),
            ResourceType::SecurityGroup => {
                Self::SecurityGroup(SecurityGroup { id, ..SecurityGroup::default() })
            }
            ResourceType::SecurityGroupRule => {
                Self::SecurityGroupRule(SecurityGroupRule { id, ..SecurityGroupRule::default() })
            }
            ResourceType::AddressGroup => {
                Self::AddressGroup(AddressGroup { id, ..AddressGroup::default() })
            }
            ResourceType::QosPolicy => Self::QosPolicy(QosPolicy { id, ..QosPolicy::default() }),
            ResourceType::Trunk => Self::Trunk(Trunk { id, ..Trunk::default() }),
            ResourceType::SubPort => Self::SubPort(SubPort { port_id: id, ..SubPort::default() }),
        }
    }

    /// Its type.
    pub fn resource(&self) -> ResourceType {
        match self {
            Self::Port(_) => ResourceType::Port,
            Self::Network(_) => ResourceType::Network,
            Self::Subnet(_) => ResourceType::Subnet,
            Self::SecurityGroup(_) => ResourceType::SecurityGroup,
            Self::SecurityGroupRule(_) => ResourceType::SecurityGroupRule,
            Self::AddressGroup(_) => ResourceType::AddressGroup,
            Self::QosPolicy(_) => ResourceType::QosPolicy,
            Self::Trunk(_) => ResourceType::Trunk,
            Self::SubPort(_) => ResourceType::SubPort,
        }
    }

    /// Its id; of a subport that of its port.
    pub fn id(&self) -> &str {
        match self {
            Self::Port(object) => &object.id,
            Self::Network(object) => &object.id,
            Self::Subnet(object) => &object.id,
            Self::SecurityGroup(object) => &object.id,
            Self::SecurityGroupRule(object) => &object.id,
            Self::AddressGroup(object) => &object.id,
            Self::QosPolicy(object) => &object.id,
            Self::Trunk(object) => &object.id,
            Self::SubPort(object) => &object.port_id,
        }
    }

    /// Counts the changes of this object; 0 where the sender did not say, and of subports.
    pub fn revision_number(&self) -> u64 {
        match self {
            Self::Port(object) => object.revision_number,
            Self::Network(object) => object.revision_number,
            Self::Subnet(object) => object.revision_number,
            Self::SecurityGroup(object) => object.revision_number,
            Self::SecurityGroupRule(object) => object.revision_number,
            Self::AddressGroup(object) => object.revision_number,
            Self::QosPolicy(object) => object.revision_number,
            Self::Trunk(object) => object.revision_number,
            Self::SubPort(_) => 0,
        }
    }

    /// The wire form.
    pub(crate) fn to_value(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self)
    }

    /// The wire form in a `deleted` push: the id and nothing else; but trunks and subports whole, as
    /// Neutron has it.
    pub(crate) fn to_deleted(&self) -> Result<Value, serde_json::Error> {
        if let Self::Trunk(_) | Self::SubPort(_) = self {
            return self.to_value();
        }
        let resource = self.resource();
        let mut envelope =
            Envelope::new(resource.name(), resource.version(), json!({ "id": self.id() }));
        envelope.changes = vec!["id".to_owned()];
        serde_json::to_value(envelope)
    }

    /// Reads the wire form in a `deleted` push, of which only the id counts; but of trunks and
    /// subports all.
    pub(crate) fn from_deleted(value: Value) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let envelope: Envelope<Value> = serde_json::from_value(value)?;
        let resource = resource(&envelope.name).map_err(serde_json::Error::custom)?;
        let name = resource.name();
        let data = envelope.open(name, resource.version()).map_err(serde_json::Error::custom)?;
        let read = match resource {
            ResourceType::Trunk => envelope::data(name, data).map(Self::Trunk),
            ResourceType::SubPort => envelope::data(name, data).map(Self::SubPort),
            other => envelope::data(name, data).map(|Id { id }| Self::deleted(other, id)),
        };
        read.map_err(serde_json::Error::custom)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        each!(self, object => envelope::wrap(object).serialize(serializer))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let envelope = Envelope::<Value>::deserialize(deserializer)?;
        let resource = resource(&envelope.name).map_err(D::Error::custom)?;
        let name = resource.name();
        let data = envelope.open(name, resource.version()).map_err(D::Error::custom)?;
        match resource {
            ResourceType::Port => envelope::data(name, data).map(Self::Port),
            ResourceType::Network => envelope::data(name, data).map(Self::Network),
            ResourceType::Subnet => envelope::data(name, data).map(Self::Subnet),
            ResourceType::SecurityGroup => envelope::data(name, data).map(Self::SecurityGroup),
            ResourceType::SecurityGroupRule => {
                envelope::data(name, data).map(Self::SecurityGroupRule)
            }
            ResourceType::AddressGroup => envelope::data(name, data).map(Self::AddressGroup),
            ResourceType::QosPolicy => envelope::data(name, data).map(Self::QosPolicy),
            ResourceType::Trunk => envelope::data(name, data).map(Self::Trunk),
            ResourceType::SubPort => envelope::data(name, data).map(Self::SubPort),
        }
        .map_err(D::Error::custom)
    }
}

fn resource(name: &str) -> Result<ResourceType, String> {
    ResourceType::from_name(name).ok_or_else(|| format!("'{name}' is not a known resource type"))
}
