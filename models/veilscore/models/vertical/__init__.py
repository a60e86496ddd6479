"""Vertical training: one scorecard over columns that lie at several holders.

A run is a sequence of steps (``run.py`` lists them); one training step is one
Flower round. Every role's part of a step is a *script* (``script.py``): a
generator that yields what to send and what to wait for, and never touches a
socket, file, clock or thread. ``label_holder.py`` and ``feature_holder.py`` hold
the two roles; README.md of the folder ``models`` says who learns what at each step.
"""
