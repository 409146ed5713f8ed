-- approver_permission: what answering a pause needs beside EDIT, as the tool's spec said when the call was made.
-- answers: JSON, who answered which pause and when; never what.
ALTER TABLE executions ADD COLUMN approver_permission TEXT;

ALTER TABLE executions ADD COLUMN answers TEXT;

-- Tickets are texts that clients carry for us; those good for one use are noted here once they are used.
CREATE TABLE spent_tickets (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE INDEX spent_tickets_ending ON spent_tickets (expires_at);

-- Handles that MCP clients of the tasks extension hold to executions; only a hash of the unguessable id is kept.
CREATE TABLE tasks (
  tenant_id TEXT NOT NULL,
  id_hash TEXT NOT NULL,
  organization_id TEXT,
  subject TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id_hash)
);

CREATE INDEX tasks_ending ON tasks (expires_at);

-- looked_at, looks: when SIM was last asked about the run, and how often since it began or was paused.
ALTER TABLE executions ADD COLUMN looked_at BIGINT;

ALTER TABLE executions ADD COLUMN looks BIGINT NOT NULL DEFAULT 0;

-- was_known: whether SIM ever told of the row's run. missed_at: since when it has known none when asked.
ALTER TABLE executions ADD COLUMN was_known BIGINT NOT NULL DEFAULT 0;

ALTER TABLE executions ADD COLUMN missed_at BIGINT;

-- The one budget of questions to SIM that all replicas share: the present window, and what it gave last.
CREATE TABLE sim_budget (
  id INTEGER PRIMARY KEY,
  window_at BIGINT NOT NULL,
  spent BIGINT NOT NULL,
  granted BIGINT NOT NULL
);

INSERT INTO sim_budget (id, window_at, spent, granted) VALUES (1, 0, 0, 0);
