-- Everything that the server knows. Ids are UUIDs as text, times are seconds since 1970 (UTC),
-- lists and maps that nothing is searched by are JSON text.

CREATE TABLE networks (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    shared BOOLEAN NOT NULL,
    mtu INTEGER NOT NULL,
    port_security_enabled BOOLEAN NOT NULL,
    tags TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- What carries a network. One for each network; the table allows more.
CREATE TABLE segments (
    id TEXT PRIMARY KEY NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks ON DELETE CASCADE,
    network_type TEXT NOT NULL,
    physical_network TEXT,
    segmentation_id INTEGER
);
CREATE INDEX segments_by_network ON segments (network_id);

-- Every VLAN of the configured ranges, and every VLAN outside them that a network has.
CREATE TABLE vlan_allocations (
    physical_network TEXT NOT NULL,
    vlan INTEGER NOT NULL,
    in_range BOOLEAN NOT NULL,
    network_id TEXT REFERENCES networks ON DELETE SET NULL,
    PRIMARY KEY (physical_network, vlan)
) WITHOUT ROWID;
CREATE INDEX vlan_allocations_by_network ON vlan_allocations (network_id);

-- Every physical network that carries a flat network.
CREATE TABLE flat_allocations (
    physical_network TEXT PRIMARY KEY NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE subnets (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    ip_version INTEGER NOT NULL,
    cidr TEXT NOT NULL,
    gateway_ip TEXT,
    allocation_pools TEXT NOT NULL,
    dns_nameservers TEXT NOT NULL,
    host_routes TEXT NOT NULL,
    enable_dhcp BOOLEAN NOT NULL,
    ipv6_ra_mode TEXT,
    ipv6_address_mode TEXT,
    tags TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX subnets_by_network ON subnets (network_id);

CREATE TABLE security_groups (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    stateful BOOLEAN NOT NULL,
    is_default BOOLEAN NOT NULL,
    tags TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX one_default_group ON security_groups (project_id) WHERE is_default;

CREATE TABLE address_groups (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    addresses TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE security_group_rules (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    security_group_id TEXT NOT NULL REFERENCES security_groups ON DELETE CASCADE,
    description TEXT NOT NULL,
    direction TEXT NOT NULL,
    ethertype TEXT NOT NULL,
    protocol TEXT,
    port_range_min INTEGER,
    port_range_max INTEGER,
    remote_ip_prefix TEXT,
    remote_group_id TEXT REFERENCES security_groups ON DELETE CASCADE,
    remote_address_group_id TEXT REFERENCES address_groups,
    -- What the rule allows, in one canonical form: no two rules of a group allow the same.
    meaning TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (security_group_id, meaning)
);
CREATE INDEX rules_by_remote_group ON security_group_rules (remote_group_id);
CREATE INDEX rules_by_remote_address_group ON security_group_rules (remote_address_group_id);

CREATE TABLE ports (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    mac_address TEXT NOT NULL,
    port_security_enabled BOOLEAN NOT NULL,
    allowed_address_pairs TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_owner TEXT NOT NULL,
    host TEXT NOT NULL,
    vnic_type TEXT NOT NULL,
    profile TEXT NOT NULL,
    vif_type TEXT NOT NULL,
    vif_details TEXT NOT NULL,
    -- The segment that carries the port on its host; null while it is not bound.
    segment_id TEXT REFERENCES segments ON DELETE SET NULL,
    tags TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (network_id, mac_address)
);
CREATE INDEX ports_by_host ON ports (host);
CREATE INDEX ports_by_device ON ports (device_id);

CREATE TABLE ip_allocations (
    subnet_id TEXT NOT NULL REFERENCES subnets,
    ip_address TEXT NOT NULL,
    port_id TEXT NOT NULL REFERENCES ports ON DELETE CASCADE,
    PRIMARY KEY (subnet_id, ip_address)
) WITHOUT ROWID;
CREATE INDEX ip_allocations_by_port ON ip_allocations (port_id);

CREATE TABLE port_security_groups (
    port_id TEXT NOT NULL REFERENCES ports ON DELETE CASCADE,
    security_group_id TEXT NOT NULL REFERENCES security_groups,
    PRIMARY KEY (port_id, security_group_id)
) WITHOUT ROWID;
CREATE INDEX ports_by_security_group ON port_security_groups (security_group_id);

CREATE TABLE agents (
    id TEXT PRIMARY KEY NOT NULL,
    agent_type TEXT NOT NULL,
    binary TEXT NOT NULL,
    host TEXT NOT NULL,
    topic TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    configurations TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    UNIQUE (agent_type, host)
);

CREATE TABLE quotas (
    project_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    hard_limit INTEGER NOT NULL,
    PRIMARY KEY (project_id, resource)
) WITHOUT ROWID;
