-- runs with: 4
-- cost: what SIM says that the run cost, in SIM's own unit (its credits); null where it does not tell.
ALTER TABLE executions ADD COLUMN cost DOUBLE PRECISION;

-- A row enters when it is final, once, so that statistics are read from the index alone.
CREATE INDEX executions_measured ON executions (tenant_id, created_at, tool_name, status, duration_ms, attempts, cost, organization_id) WHERE finished_at IS NOT NULL;

-- The lock of each tool: which deployed version and which inputs were approved. held: why calls are refused; JSON.
CREATE TABLE tool_locks (
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  workflow_id TEXT NOT NULL,
  version BIGINT,
  inputs TEXT NOT NULL,
  pinned TEXT NOT NULL,
  approved_at BIGINT NOT NULL,
  approved_by TEXT NOT NULL,
  checked_at BIGINT NOT NULL,
  held TEXT,
  PRIMARY KEY (tenant_id, name)
);

-- Values of inputs that are bound to a secret, sealed for tenant and name.
CREATE TABLE tool_secrets (
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  sealed TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  changed_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, name)
);
