"""Governance: who may serve; approvals, the audit log, the state of the champion, promotion and rollback."""
