-- After how many seconds without a report the agent is down: what the server is configured with,
-- which it writes here when it starts.
ALTER TABLE agents ADD COLUMN down_after INTEGER NOT NULL DEFAULT 75;
