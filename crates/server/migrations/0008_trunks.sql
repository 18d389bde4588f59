-- Trunks, and the ports that they reach under a tag.
CREATE TABLE trunks (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    port_id TEXT NOT NULL UNIQUE REFERENCES ports,
    status TEXT NOT NULL,
    tags TEXT NOT NULL,
    revision_number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE subports (
    port_id TEXT PRIMARY KEY NOT NULL REFERENCES ports,
    trunk_id TEXT NOT NULL REFERENCES trunks ON DELETE CASCADE,
    segmentation_type TEXT NOT NULL,
    segmentation_id INTEGER NOT NULL
);
CREATE UNIQUE INDEX subports_by_trunk ON subports (trunk_id, segmentation_type, segmentation_id);
