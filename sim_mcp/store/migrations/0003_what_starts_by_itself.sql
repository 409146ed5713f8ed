-- What an event starts. filter, input: JSON, as the mapping was set. priority: 1 goes first, 9 last.
CREATE TABLE event_mappings (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  event TEXT NOT NULL,
  workflow_id TEXT NOT NULL,
  filter TEXT,
  input TEXT,
  delay_s DOUBLE PRECISION NOT NULL,
  priority INTEGER NOT NULL,
  changed_at BIGINT NOT NULL,
  changed_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX event_mappings_target
  ON event_mappings (tenant_id, event, workflow_id, (COALESCE(organization_id, '')));

-- Events that started jobs, so that a second delivery starts none. scope: the organisation, or '' for none.
CREATE TABLE events (
  tenant_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  id TEXT NOT NULL,
  event TEXT NOT NULL,
  chain TEXT NOT NULL,
  sender TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, scope, id)
);

CREATE INDEX events_ending ON events (received_at);

-- Who may post events by signature: the secret, sealed, and for which tenant and organisation it speaks.
CREATE TABLE event_senders (
  id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  organization_id TEXT,
  name TEXT NOT NULL,
  sealed_secret TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  revoked_at BIGINT
);

CREATE INDEX event_senders_of ON event_senders (tenant_id, created_at);

-- Workflows that start by themselves at given times. next_at: the next tick, null while switched off.
CREATE TABLE schedules (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  name TEXT NOT NULL,
  workflow_id TEXT NOT NULL,
  cron TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  input TEXT NOT NULL,
  missed TEXT NOT NULL,
  is_enabled INTEGER NOT NULL,
  next_at BIGINT,
  last_at BIGINT,
  changed_at BIGINT NOT NULL,
  changed_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX schedules_by_name ON schedules (tenant_id, (COALESCE(organization_id, '')), name);

CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

-- One run that an event or a schedule wants. source_key: what may start it once. generation: how often it was
-- replayed, from 1. rounds: how often it came back from the engine to wait again. sealed_input: what the workflow gets. begun_at: when the corridor was first asked to run it.
CREATE TABLE jobs (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  started_by TEXT NOT NULL,
  source_key TEXT NOT NULL,
  source_id TEXT NOT NULL,
  name TEXT NOT NULL,
  workflow_id TEXT NOT NULL,
  sealed_input TEXT NOT NULL,
  chain TEXT NOT NULL,
  priority INTEGER NOT NULL,
  due_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  generation BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  rounds BIGINT NOT NULL DEFAULT 0,
  handed_at BIGINT,
  begun_at BIGINT,
  execution_id TEXT,
  error TEXT,
  created_at BIGINT NOT NULL,
  finished_at BIGINT,
  decided_by TEXT,
  PRIMARY KEY (tenant_id, id),
  CHECK (state IN ('waiting', 'handed', 'running', 'done', 'dead', 'discarded')),
  CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'dead', 'discarded')))
);

CREATE UNIQUE INDEX jobs_by_source ON jobs (tenant_id, source_key);

CREATE INDEX jobs_newest ON jobs (tenant_id, created_at, id);

CREATE INDEX jobs_by_state ON jobs (tenant_id, state, created_at, id);

CREATE INDEX jobs_by_execution ON jobs (tenant_id, execution_id) WHERE execution_id IS NOT NULL;

CREATE INDEX jobs_waiting ON jobs (tenant_id, due_at, id) WHERE state = 'waiting';

CREATE INDEX jobs_running ON jobs (tenant_id, execution_id) WHERE state = 'running';

CREATE INDEX jobs_open ON jobs (due_at) WHERE finished_at IS NULL;

CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- Worker processes: when each was last seen. What one leaves behind is taken over.
CREATE TABLE workers (
  id TEXT NOT NULL PRIMARY KEY,
  seen_at BIGINT NOT NULL
);

-- When old rows were last purged, in microseconds: of many replicas, whoever moves it on does the work.
INSERT INTO counters (name, value) VALUES ('purged_at', 0);
