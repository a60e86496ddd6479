"""A node and the log: receipts of its events, the daily comparison, incidents."""
