-- The rules that new security groups have from the start. A remote group is a security group's
-- id, or PARENT: the group that gets the rule. The times only order them.

CREATE TABLE default_security_group_rules (
    id TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    direction TEXT NOT NULL,
    ethertype TEXT NOT NULL,
    protocol TEXT,
    port_range_min INTEGER,
    port_range_max INTEGER,
    remote_ip_prefix TEXT,
    remote_group_id TEXT,
    remote_address_group_id TEXT REFERENCES address_groups,
    -- As in security_group_rules: no group gets two rules that allow the same.
    meaning TEXT NOT NULL,
    used_in_default_sg BOOLEAN NOT NULL,
    used_in_non_default_sg BOOLEAN NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX rules_of_default_groups ON default_security_group_rules (meaning)
    WHERE used_in_default_sg;
CREATE UNIQUE INDEX rules_of_other_groups ON default_security_group_rules (meaning)
    WHERE used_in_non_default_sg;

-- What groups had before there was a choice, and what they have in Neutron.
INSERT INTO default_security_group_rules (id, description, direction, ethertype, remote_group_id,
    meaning, used_in_default_sg, used_in_non_default_sg, created_at)
VALUES
    ('b3f0a1de-4c0e-4d7c-9d4e-0a6f5c1e8a01', 'Legacy default SG rule for egress traffic',
        'egress', 'IPv4', NULL, 'egress IPv4 - - - any', TRUE, TRUE, unixepoch()),
    ('b3f0a1de-4c0e-4d7c-9d4e-0a6f5c1e8a02', 'Legacy default SG rule for egress traffic',
        'egress', 'IPv6', NULL, 'egress IPv6 - - - any', TRUE, TRUE, unixepoch()),
    ('b3f0a1de-4c0e-4d7c-9d4e-0a6f5c1e8a03', 'Legacy default SG rule for ingress traffic',
        'ingress', 'IPv4', 'PARENT', 'ingress IPv4 - - - group PARENT', TRUE, FALSE, unixepoch()),
    ('b3f0a1de-4c0e-4d7c-9d4e-0a6f5c1e8a04', 'Legacy default SG rule for ingress traffic',
        'ingress', 'IPv6', 'PARENT', 'ingress IPv6 - - - group PARENT', TRUE, FALSE, unixepoch());
