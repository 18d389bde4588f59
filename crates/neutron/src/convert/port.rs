//! Ports: what a node wires, where, and what others know them by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{AddressPair, MacAddr, PortSecurity, Prefix, SecurityGroupId};

use super::{ConvertError, Subject};
use crate::object::{Port, PortBinding};

/// Owners with this prefix are Neutron's own and trusted.
const TRUSTED_OWNER: &str = "network:";

/// What a port contributes to rules that name a group as the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The groups that it is a member of.
    pub groups: BTreeSet<SecurityGroupId>,
    /// Its fixed IPs and allowed address pairs.
    pub addresses: BTreeSet<MemberAddress>,
}

/// An address of a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberAddress {
    /// The address or prefix.
    pub prefix: Prefix,
    /// For 0.0.0.0/0 and ::/0, the MAC address that such a pair is tied to. Else nothing: who
    /// sends from a member's address counts as the member.
    pub mac: Option<MacAddr>,
}

impl Port {
    /// The port as the model has it.
    ///
    /// # Errors
    ///
    /// An id, address or prefix that is none.
    pub fn to_model(&self) -> Result<model::Port, ConvertError> {
        let subject = self.subject();
        Ok(model::Port {
            id: subject.parse("id", &self.id)?,
            network: subject.parse("network_id", &self.network_id)?,
            mac: subject.parse("mac_address", &self.mac_address)?,
            pairs: self.pairs()?,
            security: self.port_security(),
            groups: self.groups()?,
            admin_up: self.admin_state_up,
        })
    }

    /// The binding of the port to this host. `vif_type` says whether it can be wired; one that is not
    /// active is that of a virtual machine that runs elsewhere, and may come or have gone.
    pub fn binding_for(&self, host: &str) -> Option<&PortBinding> {
        self.bindings.iter().find(|binding| binding.host == host)
    }

    /// The segment that carries the port on this host: that of the lowest binding level.
    ///
    /// # Errors
    ///
    /// A network type that is not known.
    pub fn segment_for(&self, host: &str) -> Result<Option<model::Segment>, ConvertError> {
        self.binding_levels
            .iter()
            .filter(|level| level.host == host)
            .max_by_key(|level| level.level)
            .and_then(|level| level.segment.as_ref())
            .map(|segment| segment.to_model())
            .transpose()
    }

    /// What the port contributes to rules that name one of its groups.
    ///
    /// # Errors
    ///
    /// An id, address or prefix that is none.
    pub fn membership(&self) -> Result<Membership, ConvertError> {
        let addresses = self
            .pairs()?
            .into_iter()
            .map(|AddressPair { mac, prefix }| MemberAddress {
                prefix,
                mac: prefix.is_any().then_some(mac),
            })
            .collect();
        Ok(Membership { groups: self.groups()?, addresses })
    }

    fn subject(&self) -> Subject<'_> {
        Subject { kind: "Port", id: &self.id }
    }

    /// Port security is on where the port does not say.
    fn port_security(&self) -> PortSecurity {
        let disabled =
            self.security.as_ref().is_some_and(|security| !security.port_security_enabled);
        if disabled || self.device_owner.starts_with(TRUSTED_OWNER) {
            PortSecurity::Disabled
        } else {
            PortSecurity::Enabled
        }
    }

    fn groups(&self) -> Result<BTreeSet<SecurityGroupId>, ConvertError> {
        let subject = self.subject();
        self.security_group_ids
            .iter()
            .map(|group| subject.parse("security_group_ids", group))
            .collect()
    }

    /// The own MAC with each fixed IP, and the allowed address pairs.
    fn pairs(&self) -> Result<BTreeSet<AddressPair>, ConvertError> {
        let subject = self.subject();
        let own: MacAddr = subject.parse("mac_address", &self.mac_address)?;
        let fixed = self.fixed_ips.iter().map(|fixed| {
            let address: IpAddr = subject.parse("fixed_ips.ip_address", &fixed.ip_address)?;
            Ok(AddressPair { mac: own, prefix: Prefix::host(address) })
        });
        let allowed = self.allowed_address_pairs.iter().map(|pair| {
            let mac = subject.parse("allowed_address_pairs.mac_address", &pair.mac_address)?;
            let prefix = subject.parse("allowed_address_pairs.ip_address", &pair.ip_address)?;
            Ok(AddressPair { mac, prefix })
        });
        fixed.chain(allowed).collect()
    }
}
