"""What attackers would do, and that it gets them nowhere: `docs/security.md` names these tests."""
