-- The bindings of ports to hosts that they do not run on: that they may move to, or have left. The
-- active binding is in ports, so that there is never more than one.
CREATE TABLE inactive_bindings (
    port_id TEXT NOT NULL REFERENCES ports ON DELETE CASCADE,
    host TEXT NOT NULL,
    vnic_type TEXT NOT NULL,
    profile TEXT NOT NULL,
    vif_type TEXT NOT NULL,
    vif_details TEXT NOT NULL,
    segment_id TEXT REFERENCES segments ON DELETE SET NULL,
    PRIMARY KEY (port_id, host)
) WITHOUT ROWID;
CREATE INDEX inactive_bindings_by_segment ON inactive_bindings (segment_id);
