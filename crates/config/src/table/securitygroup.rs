//! `[securitygroup]`: the firewall.

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    FIREWALL_DRIVER: Option<String> =
        Definition::new("securitygroup", "firewall_driver", Kind::Text),
        Part::Only(&[
            "openvswitch",
            "neutron.agent.linux.openvswitch_firewall.firewall:OVSFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall:OVSFirewallDriver",
        ]),
        "The firewall. Weir is like `openvswitch`. Without a value, or with `noop`, Neutron \
         filters nothing; `iptables` and `iptables_hybrid` filter elsewhere.";

    ENABLE_SECURITY_GROUP: bool =
        Definition::new("securitygroup", "enable_security_group", Kind::Bool)
        .default("True"),
        Part::Only(&["True"]),
        "Without security groups Neutron filters nothing; Weir always does.";

    PERMITTED_ETHERTYPES: Vec<String> =
        Definition::new("securitygroup", "permitted_ethertypes", Kind::List)
        .default(""),
        Part::Honoured,
        "EtherTypes that pass ports with port security without a check, in hexadecimal. What is \
         no EtherType is left out, as Neutron does it.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] =
    &[Definition::new("securitygroup", "enable_ipset", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Of the iptables drivers.")];
