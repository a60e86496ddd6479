"""A witness's folder, made once, and its process.

It holds the witness's key, the newest checkpoint that it cosigned of each log, and
evidence of logs that lied, if there is any: one file each, for anybody to check with
``veilscore audit evidence``.
"""

import hashlib
import json
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.errors import InvalidKeyError, LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.tlog.cosignature import WitnessKey
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.note import NoteKey, text_of
from veilscore.keys.tlog.witness import Witness
from veilscore.runtime import party_folder
from veilscore.runtime.supervise import port_is_free
from veilscore.runtime.web.server import WebServer
from veilscore.runtime.witness.app import witness_app
from veilscore.runtime.witness.config import WitnessSettings

_log = logging.getLogger(__name__)

_SIGNING: Final = "witness"
_STATE: Final = "witness.db"
EVIDENCE: Final = "evidence"  # a folder in ``state``
_MOST_UNPROVEN: Final = 100  # files


@dataclass(frozen=True, slots=True)
class NewWitness:
    """What ``witness init`` is told."""

    folder: Path
    name: str
    host: str
    port: int
    logs: tuple[NoteKey, ...]


def create(new: NewWitness) -> WitnessKey:
    """Make the folder and return the key that cosigns.

    Raises InvalidKeyError for a name that cannot stand in a signature, ConfigError if
    the folder holds anything. Nothing is made then.
    """
    signer = Signer.generate()
    key = WitnessKey(new.name, signer.verify_key)
    party_folder.make(new.folder, new.name)
    (new.folder / "state" / EVIDENCE).mkdir(mode=0o700)
    passphrase_file = party_folder.passphrase_file(new.folder, None)
    passphrase = read_passphrase(passphrase_file)
    keystore = Keystore.create(new.folder / "keystore", passphrase)
    keystore.put(_SIGNING, signer.private_bytes())
    Database(new.folder / "state" / _STATE).close()
    files.create(new.folder / "witness.toml", _toml(new).encode())
    return key


class WitnessService:
    """One witness, from ``start`` until ``close``."""

    def __init__(self, settings: WitnessSettings) -> None:
        """Open everything that can fail for local reasons; nothing listens yet.

        Raises PortInUseError, and the Fault of what is wrong.
        """
        with concerning(settings.name):
            port_is_free(settings.host, settings.port)
            passphrase = read_passphrase(settings.passphrase_file)
            keystore = Keystore.open(settings.keystore, passphrase)
            logs = [_log_key(vkey) for vkey in settings.logs]
        self._settings = settings
        self._signer = Signer.from_private_bytes(keystore.get(_SIGNING))
        self._parts = ExitStack()
        database = Database(_existing(settings.state / _STATE))
        self._parts.callback(database.close)
        self.witness = Witness(
            database,
            settings.name,
            self._signer,
            logs,
            clock=time.time,
            report=self._keep,
        )

    def start(self) -> str:
        """Listen, and return the address."""
        app = witness_app(self.witness)
        web = WebServer(app, self._settings.host, self._settings.port)
        address = web.start()
        self._parts.callback(web.stop)
        return address

    def close(self) -> None:
        """Answer what is under way and stop."""
        self._parts.close()

    def _keep(self, found: Contradiction) -> None:
        """Keep evidence in a file named by what it says, so that it is kept once.

        What convicts nobody by itself is kept of a few only: anybody can submit a
        checkpoint and keep its proof back.
        """
        said = "\0".join(text_of(note) for note in (found.first, found.second))
        name = hashlib.sha256(said.encode()).hexdigest()[:16]
        folder = self._settings.state / EVIDENCE
        path = folder / f"{name}.json"
        full = not found.is_proof and len(list(folder.iterdir())) >= _MOST_UNPROVEN
        if path.exists() or full:
            return
        now_s = int(time.time())
        data = Evidence.sign(found, self._settings.name, self._signer, now_s)
        files.replace(path, data)
        what = "contradicts itself" if found.is_proof else "was submitted unproven"
        _log.error("the log %s %s; the evidence is %s", found.log.name, what, path)


def _existing(path: Path) -> Path:
    """Return the path of the state; without its state a witness must not go on."""
    if not path.is_file():
        raise LogStoreError(
            "the witness's state is missing",
            place=str(path),
            remedy="Restore the file. A witness that has forgotten what it cosigned "
            "must begin anew, with another key: `veilscore witness init`.",
        )
    return path


def _log_key(vkey: str) -> NoteKey:
    try:
        return NoteKey.parse(vkey)
    except InvalidKeyError as error:
        error.place = error.place or f"logs = [{vkey[:60]!r}]"
        raise


def _toml(new: NewWitness) -> str:
    logs = "".join(f"    {json.dumps(log.vkey)},\n" for log in new.logs)
    return f"""\
# A witness of transparency logs. Unknown keys are refused; secrets stand in files.
# Paths are relative to this file. Never restore "state" from a backup.
name = {json.dumps(new.name)}
state = "state"
passphrase_file = "passphrase"
keystore = "keystore"

# Where logs submit their checkpoints, without TLS: let a proxy that has it serve other
# machines.
host = {json.dumps(new.host)}
port = {new.port}

# The verifier keys of the logs that it watches, as "vkey" in their log.v1.json.
logs = [
{logs}]
"""
