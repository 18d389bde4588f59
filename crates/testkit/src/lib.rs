//! A private Open vSwitch, namespaces as VMs, and probes.
