-- QoS policies, their rules, and who has them.
CREATE TABLE qos_policies (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    shared BOOLEAN NOT NULL,
    is_default BOOLEAN NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
-- A project has one default policy at most.
CREATE UNIQUE INDEX qos_policies_default ON qos_policies (project_id) WHERE is_default;

-- A rule has an amount; what else depends on its type. Where there is no burst it is 0, where there
-- is no direction it is empty.
CREATE TABLE qos_rules (
    id TEXT PRIMARY KEY NOT NULL,
    policy_id TEXT NOT NULL REFERENCES qos_policies ON DELETE CASCADE,
    type TEXT NOT NULL,
    amount INTEGER NOT NULL,
    burst INTEGER NOT NULL,
    direction TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX qos_rules_by_policy ON qos_rules (policy_id, type, direction);

ALTER TABLE networks ADD COLUMN qos_policy_id TEXT REFERENCES qos_policies;
ALTER TABLE ports ADD COLUMN qos_policy_id TEXT REFERENCES qos_policies;
CREATE INDEX networks_by_qos_policy ON networks (qos_policy_id);
CREATE INDEX ports_by_qos_policy ON ports (qos_policy_id);
