"""The node's local pages and REST interface."""
