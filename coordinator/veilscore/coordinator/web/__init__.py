"""The coordinator's pages for auditors and its REST interface for operators."""
