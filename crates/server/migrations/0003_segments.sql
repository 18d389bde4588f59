-- A network may have several segments, and each is a resource. The segments that networks have are
-- all that is stored: what is free is what the configured ranges have beside them.

ALTER TABLE segments ADD COLUMN segment_index INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN name TEXT;
ALTER TABLE segments ADD COLUMN description TEXT;
ALTER TABLE segments ADD COLUMN revision_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE segments SET (created_at, updated_at) =
    (SELECT created_at, created_at FROM networks WHERE networks.id = network_id);

DROP TABLE vlan_allocations;
DROP TABLE flat_allocations;

-- No two networks have the same segment. SQLite takes every null for another value, so each index
-- says it for the types that have what it names: VLANs, flat networks, tunnels.
CREATE UNIQUE INDEX segments_by_number
    ON segments (network_type, physical_network, segmentation_id);
CREATE UNIQUE INDEX one_segment_without_number
    ON segments (network_type, physical_network) WHERE segmentation_id IS NULL;
CREATE UNIQUE INDEX one_segment_without_physical_network
    ON segments (network_type, segmentation_id) WHERE physical_network IS NULL;

CREATE INDEX ports_by_segment ON ports (segment_id);

-- The number that was given last, of those that the server chooses. The next one is higher, so that
-- a number that has come free rests as long as there are others. No physical network is the empty
-- text.
CREATE TABLE segment_pools (
    network_type TEXT NOT NULL,
    physical_network TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (network_type, physical_network)
) WITHOUT ROWID;
