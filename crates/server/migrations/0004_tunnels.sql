-- Where the tunnels of each host end, by type. A host has one end of each type, and an address is
-- that of one host.
CREATE TABLE tunnel_endpoints (
    tunnel_type TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (tunnel_type, ip_address),
    UNIQUE (tunnel_type, host)
) WITHOUT ROWID;
CREATE INDEX tunnel_endpoints_by_host ON tunnel_endpoints (host);

-- Whether a port is to be reached on its host: then others have been told so, if tunnels lead
-- there.
ALTER TABLE ports ADD COLUMN announced BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE ports SET announced = (status = 'ACTIVE');
CREATE INDEX announced_ports ON ports (network_id, host) WHERE announced;
