"""Nodes that compare both logs so often that a test sees it."""

from pathlib import Path


def reconcile_often(config: Path, every_s: float) -> None:
    """Let the node of this node.toml compare its own log with that of all so often."""
    text = config.read_text(encoding="utf-8")
    assert text.count("[log]\n") == 1
    often = f"[log]\nrecon_every_h = {every_s / 3600}\n"
    config.write_text(text.replace("[log]\n", often), encoding="utf-8")
