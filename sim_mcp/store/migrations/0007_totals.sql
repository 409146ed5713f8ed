-- runs with: 5
-- How many closed executions there are of each kind, so that the total of a page costs the same however long the
-- history is. Kept by triggers, so by every program that writes, older ones too. Organisations and workflows are
-- written as '=id', and as '' for none. Open executions are few and are counted as they stand: a call touches its
-- total once, when it is closed.
-- No line inside a trigger ends with a semicolon but the last.
CREATE TABLE execution_totals (
  tenant_id TEXT NOT NULL,
  organization_id TEXT NOT NULL,
  workflow_id TEXT NOT NULL,
  status TEXT NOT NULL,
  triggered_by TEXT NOT NULL,
  total BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, organization_id, workflow_id, status, triggered_by)
);

CREATE INDEX executions_open ON executions (tenant_id) WHERE finished_at IS NULL;

-- only on: sqlite
CREATE TRIGGER executions_born_closed AFTER INSERT ON executions WHEN NEW.finished_at IS NOT NULL BEGIN
  INSERT INTO execution_totals
  VALUES (NEW.tenant_id, COALESCE('=' || NEW.organization_id, ''), COALESCE('=' || NEW.workflow_id, ''),
    NEW.status, NEW.triggered_by, 1)
  ON CONFLICT (tenant_id, organization_id, workflow_id, status, triggered_by) DO UPDATE SET total = total + 1; END;

-- only on: sqlite
CREATE TRIGGER executions_closed AFTER UPDATE OF finished_at ON executions
WHEN OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL BEGIN
  INSERT INTO execution_totals
  VALUES (NEW.tenant_id, COALESCE('=' || NEW.organization_id, ''), COALESCE('=' || NEW.workflow_id, ''),
    NEW.status, NEW.triggered_by, 1)
  ON CONFLICT (tenant_id, organization_id, workflow_id, status, triggered_by) DO UPDATE SET total = total + 1; END;

-- only on: sqlite
CREATE TRIGGER executions_forgotten AFTER DELETE ON executions WHEN OLD.finished_at IS NOT NULL BEGIN
  UPDATE execution_totals SET total = total - 1
  WHERE tenant_id = OLD.tenant_id AND organization_id = COALESCE('=' || OLD.organization_id, '')
    AND workflow_id = COALESCE('=' || OLD.workflow_id, '') AND status = OLD.status
    AND triggered_by = OLD.triggered_by; END;

-- only on: postgresql
CREATE FUNCTION count_closed_execution() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO execution_totals
  VALUES (NEW.tenant_id, COALESCE('=' || NEW.organization_id, ''), COALESCE('=' || NEW.workflow_id, ''),
    NEW.status, NEW.triggered_by, 1)
  ON CONFLICT (tenant_id, organization_id, workflow_id, status, triggered_by)
  DO UPDATE SET total = execution_totals.total + 1; RETURN NULL; END $$;

-- only on: postgresql
CREATE FUNCTION count_forgotten_execution() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE execution_totals SET total = total - 1
  WHERE tenant_id = OLD.tenant_id AND organization_id = COALESCE('=' || OLD.organization_id, '')
    AND workflow_id = COALESCE('=' || OLD.workflow_id, '') AND status = OLD.status
    AND triggered_by = OLD.triggered_by; RETURN NULL; END $$;

-- only on: postgresql
CREATE TRIGGER executions_born_closed AFTER INSERT ON executions
FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION count_closed_execution();

-- only on: postgresql
CREATE TRIGGER executions_closed AFTER UPDATE OF finished_at ON executions
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION count_closed_execution();

-- only on: postgresql
CREATE TRIGGER executions_forgotten AFTER DELETE ON executions
FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION count_forgotten_execution();

-- After the triggers, which hold up other writers until this is committed: nothing is counted twice or missed.
INSERT INTO execution_totals
SELECT tenant_id, COALESCE('=' || organization_id, ''), COALESCE('=' || workflow_id, ''), status, triggered_by, COUNT(*)
FROM executions WHERE finished_at IS NOT NULL
GROUP BY tenant_id, COALESCE('=' || organization_id, ''), COALESCE('=' || workflow_id, ''), status, triggered_by;
