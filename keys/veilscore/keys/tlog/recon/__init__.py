"""Reconciliation: a party's own log and that of all must say the same."""
