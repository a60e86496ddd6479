"""One call to the hub with this node's certificate, as ``node doctor`` makes it.

It does not attach: a node that runs beside it keeps its stream. The hub sees that the
party asked how it is.
"""

import time
from typing import TYPE_CHECKING, Final

import grpc

from veilscore.keys.enrolment import WelcomeKit
from veilscore.node.link_faults import explain
from veilscore.runtime.channel import channel_options, client_credentials
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2, hub_pb2_grpc

if TYPE_CHECKING:
    from veilscore.v1.hub_pb2_grpc import HubServiceStub

_CALL_S: Final = 5.0


def greet(
    kit: WelcomeKit, tls: TlsIdentity
) -> tuple[float, hub_pb2.HealthResponse, float]:
    """Return what the hub says, between the times before and after by our clock.

    Raises UnreachableError, CoordinatorRefusedError or InvalidKeyError.
    """
    address = kit.addresses["hub"]
    options = channel_options()
    if name := kit.addresses.get("server_name", ""):
        options.append(("grpc.ssl_target_name_override", name))
    sent = time.time()
    with grpc.secure_channel(address, client_credentials(tls), options) as channel:
        stub: HubServiceStub = hub_pb2_grpc.HubServiceStub(channel)
        try:
            health = stub.Health(hub_pb2.HealthRequest(), timeout=_CALL_S)
        except grpc.RpcError as error:
            raise explain(
                (error.details() if hasattr(error, "details") else "") or "",
                kit.registry.coordinator.name,
                address,
                tls.certificate,
                time.time(),
            ) from error
    return sent, health, time.time()
