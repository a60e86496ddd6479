"""The coordinator's process: hub, log, SuperLink, runs and pages, wired together.

It sees no data: envelopes are sealed, and the log holds none. Everything the parts
know of each other is said here; nothing else constructs them.
"""

import importlib.metadata
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from veilscore.coordinator import setup
from veilscore.coordinator.access import Access
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.contract import read_contract
from veilscore.coordinator.desk import Flower, TrainingDesk
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import AppendError, ContractError, RunError
from veilscore.coordinator.hub import Hub
from veilscore.coordinator.log import LogService
from veilscore.coordinator.rounds import Surroundings
from veilscore.coordinator.runs import RunBook
from veilscore.coordinator.superlink import SuperLink, SuperLinkConfig
from veilscore.coordinator.web.app import coordinator_app
from veilscore.coordinator.web.face import CoordinatorStatus, NodeView, RunView
from veilscore.fault import Fault
from veilscore.keys.certificates import Certificate, TlsKey
from veilscore.keys.errors import InvalidKeyError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.receiving import verify_signed_key
from veilscore.keys.registry import Registry, Role
from veilscore.keys.tlog.events import Detail, read_event
from veilscore.keys.tlog.store import LogStore
from veilscore.runtime.channel import TlsIdentity
from veilscore.runtime.errors import FlowerError, PeerLostError, UnreachableError
from veilscore.runtime.flower.pin import require_pinned
from veilscore.runtime.supervise import port_is_free
from veilscore.runtime.web.server import WebServer
from veilscore.runtime.web.tokens import AccessToken
from veilscore.v1.audit_pb2 import PartyJoined, Started
from veilscore.v1.hub_pb2 import Notice, NoticeKind, SignedKey

_log = logging.getLogger(__name__)

VERSION: Final = importlib.metadata.version("veilscore")
_WATCH_S: Final = 1.0  # between looks at the registry file and at the SuperLink
_AHEAD_MS: Final = 10 * 60 * 1000  # an actor's clock; late events were spooled
_STARTING: Final = "Flower's SuperLink is not up yet"
