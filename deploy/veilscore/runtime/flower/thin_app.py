"""The app bundle that every run submits to Flower: two names and no code.

What a run executes is what coordinator and nodes have installed; Flower wants a
bundle all the same. Its bytes are the same on every machine, so that its SHA-256 in
a node's audit can be compared: ``flwr build`` in deploy/flower makes them too.
"""

import hashlib
import io
import zipfile

from flwr.common.constant import FAB_DATE

# deploy/flower/pyproject.toml as Flower normalises it.
_MANIFEST = b"""\
[project]
name = "veilscore-training"
version = "0.1.0"
description = "Names the training entry points; every party has installed the code."
license = "GPL-3.0-or-later"

[tool.flwr.app]
publisher = "veilscore"

[tool.flwr.app.components]
serverapp = "veilscore.coordinator.server_app:app"
clientapp = "veilscore.node.client_app:app"

[tool.flwr.app.config]
run = ""
"""


def thin_app() -> bytes:
    """Return the bundle: the manifest and Flower's table of contents."""
    digest = hashlib.sha256(_MANIFEST).hexdigest()
    contents = f"pyproject.toml,{digest},{8 * len(_MANIFEST)}"  # Flower counts bits
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, data in (
            ("pyproject.toml", _MANIFEST),
            (".info/CONTENT", contents.encode()),
        ):
            bundle.writestr(zipfile.ZipInfo(name, FAB_DATE), data)
    return buffer.getvalue()
