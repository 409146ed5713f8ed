-- runs with: 5
-- The chain of each tenant's closed executions. content: a hash of what the row held when the link was made.
-- chain: a keyed hash over this link and the chain of the one before it. key_id: which audit key.
-- forgotten: a keyed hash that says that the retention removed the row; links at the old end go altogether.
CREATE TABLE audit_links (
  tenant_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  execution_id TEXT NOT NULL,
  form INTEGER NOT NULL,
  content TEXT NOT NULL,
  linked_at BIGINT NOT NULL,
  key_id TEXT NOT NULL,
  chain TEXT NOT NULL,
  forgotten TEXT,
  PRIMARY KEY (tenant_id, seq)
);

CREATE INDEX audit_links_of_row ON audit_links (tenant_id, execution_id, seq);

-- Where the chain begins once the retention has removed its oldest links. since: when the tenant's first link was made.
CREATE TABLE audit_anchors (
  tenant_id TEXT NOT NULL PRIMARY KEY,
  seq BIGINT NOT NULL,
  chain TEXT NOT NULL,
  since BIGINT NOT NULL,
  key_id TEXT NOT NULL,
  proof TEXT NOT NULL
);

-- Keys of the keyed hashes, sealed under the encryption keys: who only has the database cannot forge a chain.
CREATE TABLE audit_keys (
  id TEXT NOT NULL PRIMARY KEY,
  sealed TEXT NOT NULL,
  made_at BIGINT NOT NULL
);
