"""A node's part in training: approve, align, compute, keep the card."""
