"""A SuperNode that takes the place of its killed predecessor at once.

Flower lets nobody activate a node that it believes to be connected, and it believes
so for a minute after the last heartbeat. A process that was killed could not say
goodbye; the next one, with the same key, says it in its stead. Only one that is killed
before it has noted its own id, an instant after its activation, keeps the next one out
for that minute.
"""

import contextlib
import os
from pathlib import Path

import httpx
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
)
from flwr.supernode.fleet_http_client import FleetHttpClient


class TakeoverClient(FleetHttpClient):
    """A client of the Fleet API that keeps its node's id in Flower's home."""

    def ActivateNode(  # noqa: N802 - Flower's name
        self, request: ActivateNodeRequest
    ) -> ActivateNodeResponse:
        """Activate the node, and deactivate it first if it was left active."""
        file = Path(os.environ["FLWR_HOME"]) / "node-id"
        # No file or half a file: nothing to take over. Refused: the predecessor
        # said goodbye itself.
        with contextlib.suppress(OSError, ValueError, httpx.HTTPStatusError):
            node_id = int(file.read_text())
            self.DeactivateNode(DeactivateNodeRequest(node_id=node_id))
        response = super().ActivateNode(request)
        file.write_text(str(response.node_id))
        return response
