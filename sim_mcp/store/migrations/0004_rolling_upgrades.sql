-- runs with: 4
-- The oldest schema whose programs also run on this one: they go on while others are upgraded already.
ALTER TABLE schema_migrations ADD COLUMN runs_with INTEGER;
