#!/usr/bin/env python3
"""Writes neutron-29.tsv: group, option, type and default of what a node's files may hold.

Run it where Neutron is installed:  python3 options.py > neutron-29.tsv
"""

import importlib.metadata

import oslo_messaging
from neutron.agent.l2 import l2_agent_extensions_manager
from neutron.common import config
from neutron.plugins.ml2.drivers.openvswitch.agent import main as _agent  # noqa: F401
from neutron.plugins.ml2.drivers.openvswitch.agent import ovs_neutron_agent
from oslo_config import cfg, generator

NAMESPACES = [
    "neutron", "neutron.base.agent", "neutron.agent", "neutron.db", "neutron.ml2", "neutron.ml2.ovs.agent",
    "neutron.extensions", "neutron.l3.agent", "neutron.dhcp.agent", "neutron.metadata.agent", "neutron.az.agent",
    "neutron.metering.agent", "oslo.messaging", "oslo.log", "oslo.concurrency", "oslo.privsep", "oslo.service.service",
    "oslo.service.periodic_task", "oslo.service.wsgi",
]
GROUPS = {
    "agent", "ovs", "securitygroup", "network_log", "dhcp", "metadata", "local_ip", "dns_forwarder", "fdb",
    "oslo_concurrency", "privsep", "oslo_messaging_rabbit", "ml2", "ml2_type_flat", "ml2_type_vlan", "ml2_type_vxlan",
    "ml2_type_gre", "ml2_type_geneve", "quotas",
}
# Their defaults are the names of this host and program.
OF_THE_HOST = {"host", "my_ip", "my_ipv6", "hostname", "processname"}


def kind(option):
    kind = option.type
    name = type(kind).__name__.replace("MultiString", "String")
    if getattr(kind, "choices", None):
        return f"{name} {','.join(map(str, kind.choices))}"
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None and high is None:
        return name
    return f"{name} {'' if low is None else low}..{'' if high is None else high}"


def default(option):
    value = option.default
    if value is None or option.dest in OF_THE_HOST or option.multi and not value:
        return "-"
    if isinstance(value, dict):
        value = [f"{key}:{value}" for key, value in sorted(value.items())]
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    return str(value)


def registered():
    """What the agent registers when it starts, which is more than sample files have."""
    config.register_common_config_options()
    config.init(["--config-file", "/dev/null"])
    l2_agent_extensions_manager.register_opts(cfg.CONF)
    ovs_neutron_agent.agent_config.setup_privsep()
    for extension in importlib.metadata.entry_points(group="neutron.agent.l2.extensions"):
        extension.load()
    yield "DEFAULT", cfg.CONF._opts
    for name, group in cfg.CONF._groups.items():
        yield name.lower(), group._opts


def main():
    oslo_messaging.set_transport_defaults(control_exchange="neutron")
    found = {}
    for group, options in registered():
        for name, information in options.items():
            if name not in ("config_file", "config_dir"):
                found.setdefault((group, name), information["opt"])
    for _, groups in generator._list_opts(NAMESPACES):
        for group, options in groups:
            group = getattr(group, "name", group) or "DEFAULT"
            group = group if group == "DEFAULT" else group.lower()
            for option in options:
                found.setdefault((group, option.dest), option)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("neutron", "oslo.messaging", "oslo.log")]
    print(f"# {', '.join(versions)}")
    for (group, name), option in sorted(found.items()):
        if group == "DEFAULT" or group in GROUPS:
            print(group, name, kind(option), default(option), sep="\t")


main()
