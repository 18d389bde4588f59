//! `[securitygroup]`: the firewall.

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    FIREWALL_DRIVER: Option<String> =
        Definition::new("securitygroup", "firewall_driver", Kind::Text),
        Part::Only(&[
            "",
            "noop",
            "openvswitch",
            "iptables",
            "iptables_hybrid",
            "neutron.agent.firewall:NoopFirewallDriver",
            "neutron.agent.firewall.NoopFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall:OVSFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall.firewall:OVSFirewallDriver",
            "neutron.agent.linux.openvswitch_firewall.firewall.OVSFirewallDriver",
            "neutron.agent.linux.iptables_firewall:IptablesFirewallDriver",
            "neutron.agent.linux.iptables_firewall.IptablesFirewallDriver",
            "neutron.agent.linux.iptables_firewall:OVSHybridIptablesFirewallDriver",
            "neutron.agent.linux.iptables_firewall.OVSHybridIptablesFirewallDriver",
        ]),
        "The firewall. `openvswitch` is flows, `iptables_hybrid` netfilter on a Linux bridge between \
         each port and the switch; with `noop` nothing is filtered but spoofed MAC addresses, ARP and \
         neighbour advertisements. `iptables` is the same as `iptables_hybrid`: in Neutron it filters \
         nothing on a node with Open vSwitch. Without a value Neutron filters nothing. \
         `weir agent` takes the server's then, which only a Weir server tells: with Neutron's it does \
         not start. `weir up` takes `openvswitch`.";

    ENABLE_SECURITY_GROUP: bool =
        Definition::new("securitygroup", "enable_security_group", Kind::Bool)
        .default("True"),
        Part::Only(&["True"]),
        "Without security groups Neutron filters nothing; Weir always does.";

    ENABLE_IPSET: bool = Definition::new("securitygroup", "enable_ipset", Kind::Bool)
        .default("True"),
        Part::Honoured,
        "With `iptables_hybrid`: whether the addresses of remote groups and address groups are in \
         sets, not in rules.";

    PERMITTED_ETHERTYPES: Vec<String> =
        Definition::new("securitygroup", "permitted_ethertypes", Kind::List)
        .default(""),
        Part::Honoured,
        "EtherTypes that pass ports with port security without a check, in hexadecimal. What is \
         no EtherType is left out, as Neutron does it.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[];
