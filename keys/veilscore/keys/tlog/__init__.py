"""A transparency log: Merkle tree, signed checkpoints, proofs, store, audit.

Formats are those of RFC 6962 and C2SP (signed-note, tlog-checkpoint, tlog-tiles,
tlog-proof), so that verifiers written by others work on our logs unchanged.
"""
