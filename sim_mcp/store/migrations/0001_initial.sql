-- The subset of SQL that SQLite and PostgreSQL share.
-- Moments: BIGINT, microseconds since 1970 in UTC. Flags: 0 or 1. JSON: TEXT.

CREATE TABLE counters (
  name TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('changes', 0);

CREATE TABLE changes (
  seq BIGINT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL
);

-- scope: '*' for the whole tenant, 'o:' and the id for one organisation.
CREATE TABLE integration_revisions (
  tenant_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  revision BIGINT NOT NULL,
  id TEXT NOT NULL,
  base_url TEXT NOT NULL,
  is_enabled INTEGER NOT NULL,
  workspace_id TEXT,
  sealed_key TEXT,
  has_api_key INTEGER NOT NULL,
  is_removed INTEGER NOT NULL,
  changed_fields TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  changed_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, scope, revision)
);

CREATE UNIQUE INDEX integration_revisions_id ON integration_revisions (tenant_id, id, revision);

-- spec: null once the tool was taken off the list; the row then tells who did it, and when.
CREATE TABLE allow_list (
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  spec TEXT,
  changed_at BIGINT NOT NULL,
  changed_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, name)
);

CREATE TABLE allow_list_versions (
  tenant_id TEXT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL
);

CREATE TABLE tokens (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  subject TEXT NOT NULL,
  permissions TEXT NOT NULL,
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT,
  revoked_at BIGINT,
  PRIMARY KEY (tenant_id, id)
);

-- base_url: where the key will be sent, fixed when the link was made. found: JSON, what SIM told when the key was
-- accepted, never the key. revision: of the settings that the link made; chosen_at: when a workspace was picked.
CREATE TABLE setup_links (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  subject TEXT NOT NULL,
  base_url TEXT NOT NULL,
  is_enabled INTEGER NOT NULL,
  secret_hash TEXT NOT NULL UNIQUE,
  tries INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT,
  revision BIGINT,
  found TEXT,
  chosen_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  CHECK ((used_at IS NULL) = (revision IS NULL)),
  CHECK (chosen_at IS NULL OR used_at IS NOT NULL)
);

CREATE INDEX setup_links_ending ON setup_links (expires_at);

-- sealed_secrets: values taken out of the input, for masking the output; gone when the row is final.
-- key_claim: a hash of whose idempotency key this row answers for; null once the key is free again.
-- key_digest: a sealed hash of what was asked under it.
-- follow_up_at: due time and lease of an unfinished row. window_key: which flood of refusals a row counts.
CREATE TABLE executions (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  organization_id TEXT,
  integration_id TEXT,
  tool_name TEXT NOT NULL,
  workflow_id TEXT,
  run_id TEXT,
  job_id TEXT,
  status TEXT NOT NULL,
  mode TEXT NOT NULL,
  timeout_s DOUBLE PRECISION NOT NULL,
  input TEXT,
  output TEXT,
  error TEXT,
  pauses TEXT,
  duration_ms BIGINT,
  attempts INTEGER NOT NULL,
  triggered_by TEXT NOT NULL,
  subject TEXT NOT NULL,
  idempotency_key TEXT,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT,
  settings_revision BIGINT,
  trace_id TEXT,
  refusals BIGINT NOT NULL,
  cancel_requested_at BIGINT,
  follow_up_at BIGINT,
  window_key TEXT,
  sealed_secrets TEXT,
  key_claim TEXT,
  key_digest TEXT,
  PRIMARY KEY (tenant_id, id),
  CHECK (status IN ('queued', 'processing', 'paused', 'completed', 'failed', 'cancelled')),
  CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CHECK (finished_at IS NULL OR follow_up_at IS NULL)
);

-- The last columns ride along so that totals are counted inside the index.
CREATE INDEX executions_newest ON executions (tenant_id, created_at, id, organization_id, triggered_by);

CREATE INDEX executions_by_workflow ON executions (tenant_id, workflow_id, created_at, id, organization_id, status);

CREATE INDEX executions_by_status ON executions (tenant_id, status, created_at, id, organization_id);

CREATE INDEX executions_by_run ON executions (tenant_id, run_id, created_at) WHERE run_id IS NOT NULL;

CREATE INDEX executions_by_job ON executions (tenant_id, job_id, created_at) WHERE job_id IS NOT NULL;

CREATE UNIQUE INDEX executions_by_claim ON executions (tenant_id, key_claim) WHERE key_claim IS NOT NULL;

CREATE UNIQUE INDEX executions_by_window ON executions (tenant_id, window_key) WHERE window_key IS NOT NULL;

CREATE INDEX executions_due ON executions (follow_up_at, tenant_id, id) WHERE follow_up_at IS NOT NULL;

CREATE INDEX executions_begun ON executions (tenant_id, started_at, attempts) WHERE started_at IS NOT NULL;

CREATE INDEX executions_ended ON executions (finished_at) WHERE finished_at IS NOT NULL;
