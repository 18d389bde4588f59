"""The rules that Neutron's iptables_hybrid driver would write: nodes as JSON in, chains as JSON out.

Nothing is run: the driver's tables are read before they would be applied.
"""

import collections
import json
import os
import sys

# The driver names its chains after the program.
sys.argv[0] = "neutron-openvswitch-agent"

from oslo_config import cfg  # noqa: E402
from neutron.conf.agent import common  # noqa: E402
from neutron.conf.agent import securitygroups_rpc as options  # noqa: E402

common.register_root_helper(cfg.CONF)
options.register_securitygroups_opts()
cfg.CONF([], project="neutron")

from neutron.agent.linux import ipset_manager, iptables_firewall, iptables_manager  # noqa: E402
from neutron.db import securitygroups_rpc_base  # noqa: E402

PREFIX = {"ingress": "source_ip_prefix", "egress": "dest_ip_prefix"}


def forbid_side_effects():
    def remember(manager, name, _family, addresses):
        manager.ipset_sets[name] = list(addresses)

    iptables_manager.IptablesManager.apply = lambda self: []
    iptables_manager.IptablesManager.get_rules_for_table = lambda self, table: []
    iptables_firewall.a_utils.execute = lambda *args, **options: "1"
    ipset_manager.IpsetManager.set_members_mutate = remember


def rule(group, given):
    made = {
        "direction": given["direction"],
        "ethertype": given["ethertype"],
        "protocol": given["protocol"],
        "port_range_min": given["min"],
        "port_range_max": given["max"],
        "security_group_id": group["id"],
        "stateful": group["stateful"],
    }
    for kind in ("remote_group_id", "remote_address_group_id"):
        if given[kind]:
            made[kind] = given[kind]
    if given["prefix"]:
        made[PREFIX[given["direction"]]] = given["prefix"]
    return made


def port(given):
    server = securitygroups_rpc_base.SecurityGroupInfoAPIMixin()
    made = {
        "device": given["id"],
        "device_owner": "compute:nova",
        "network_id": given["network"],
        "mac_address": given["mac"],
        "fixed_ips": given["fixed_ips"],
        "allowed_address_pairs": given["pairs"],
        "security_groups": given["groups"],
        "security_group_rules": [],
        "security_group_source_groups": [],
        "port_security_enabled": True,
    }
    server._add_ingress_ra_rule(made)
    server._add_ingress_dhcp_rule(made)
    return made


def chains(tables):
    found = collections.defaultdict(list)
    rules = tables["filter"].rules
    for each in [r for r in rules if r.top] + [r for r in rules if not r.top]:
        words = str(each).split(" ", 2)
        found[words[1]].append(words[2])
    return found


def lower(node):
    cfg.CONF.set_override("enable_ipset", node["ipset"], "SECURITYGROUP")
    driver = iptables_firewall.OVSHybridIptablesFirewallDriver()
    for group in node["groups"]:
        rules = [rule(group, given) for given in group["rules"]]
        driver.update_security_group_rules(group["id"], rules)
    for group, members in node["members"].items():
        driver.update_security_group_members(group, members)
    for given in node["ports"]:
        driver.prepare_port_filter(port(given))
    return {
        "IPv4": chains(driver.iptables.ipv4),
        "IPv6": chains(driver.iptables.ipv6),
        "sets": driver.ipset.ipset_sets,
    }


def main():
    forbid_side_effects()
    nodes = json.load(sys.stdin)
    json.dump([lower(node) for node in nodes], sys.stdout)
    sys.stdout.flush()
    # Threads of the driver wait for work.
    os._exit(0)


main()
