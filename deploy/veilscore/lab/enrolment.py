"""Make a lab's folders and let every party join, by the commands an operator types.

    veilscore coordinator init DIR              keys, certificates, a first registry
    veilscore witness init DIR --log VKEY       its line goes into the log's policy
    veilscore node init DIR --party NAME        keys, node.toml, card.json
    veilscore coordinator admit CARD --out KIT  the coordinator checks the card
    veilscore node join KIT --fingerprint HEX   the party checks the coordinator

The second for every witness, the last three for every party. Between people the
fingerprints pass by telephone; here they are what the `init` commands printed.
"""

import json
import secrets
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.lab.holdings import Holding
from veilscore.lab.lab_file import LabFile, PartySettings
from veilscore.lab.processes import veilscore
from veilscore.lab.toml_text import to_toml

HOST = "127.0.0.1"
LOG_POLICY = "log-policy.txt"  # in the coordinator's folder
# Below those that systems give to outgoing connections: none is taken by one before
# its party listens.
_PORTS = range(20_000, 32_000)
_INIT_S = 1800.0  # a search for safe primes may take minutes


@dataclass(frozen=True, slots=True)
class Member:
    """One enrolled party and where its node answers."""

    settings: PartySettings
    folder: Path
    holding: Holding
    web: str

    @property
    def name(self) -> str:
        """Its registered name."""
        return self.settings.name

    @property
    def config(self) -> Path:
        """Its node.toml."""
        return self.folder / "node.toml"


@dataclass(frozen=True, slots=True)
class LabWitness:
    """A witness of the log and where it answers."""

    folder: Path
    web: str

    @property
    def config(self) -> Path:
        """Its witness.toml."""
        return self.folder / "witness.toml"


@dataclass(frozen=True, slots=True)
class Federation:
    """A coordinator, its witnesses and its members, enrolled and not running."""

    folder: Path  # of the coordinator
    fingerprint: str  # of the coordinator's signing key, hex
    web: str
    witnesses: Mapping[str, LabWitness]
    members: Mapping[str, Member]

    @property
    def config(self) -> Path:
        """The coordinator's file."""
        return self.folder / "coordinator.toml"

    @property
    def log_policy(self) -> Path:
        """Who must cosign the log."""
        return self.folder / LOG_POLICY


def enrol(
    lab: LabFile,
    holdings: Mapping[str, Holding],
    state: Path,
    watch: Callable[[str], None],
) -> Federation:
    """Make all folders below ``state``; ``watch`` hears what is being done."""
    port = _free_ports()
    ports = lab.coordinator
    folder = state / "coordinator"
    web = ports.web_port or next(port)
    watch("making the coordinator's keys")
    fingerprint = veilscore(
        *("coordinator", "init", folder, "--host", HOST),
        *("--hub-port", str(ports.hub_port or next(port))),
        *("--flower-port", str(ports.flower_port or next(port))),
        *("--web-port", str(web)),
    ).strip()
    names = [f"witness-{number + 1}" for number in range(lab.witnesses)]
    witnesses = _make_witnesses(names, folder, state, port)
    members: dict[str, Member] = {}
    federation = Federation(
        folder, fingerprint, f"http://{HOST}:{web}", witnesses, members
    )
    for party in lab.party:
        watch(f"making the keys of {party.name}")
        web = party.web_port or next(port)
        runtime = party.runtime_port or next(port)
        source = state / f"{party.name}.source.toml"
        source.write_text(holdings[party.name].source, encoding="utf-8")
        folder = state / party.name
        told = veilscore(
            *("node", "init", folder, "--party", party.name, "--source", source),
            *(word for role in party.roles for word in ("--role", role)),
            *("--key-bits", str(lab.key_bits)),
            *(() if lab.safe_primes else ("--quick-key",)),
            *("--web-port", str(web), "--runtime-port", str(runtime), "--json"),
            party=party.name,
            timeout_s=_INIT_S,
        )
        holding = holdings[party.name].moved(folder)
        member = Member(party, folder, holding, f"http://{HOST}:{web}")
        _set_policy(member)
        fingerprint = json.loads(told)["fingerprint"]
        _join(federation, member, fingerprint, state / f"{party.name}.kit.json")
        members[party.name] = member
    return federation


def _make_witnesses(
    names: Sequence[str], coordinator: Path, state: Path, ports: Iterator[int]
) -> dict[str, LabWitness]:
    """Make witnesses of the coordinator's log, and let its policy ask for all."""
    if not names:
        return {}
    policy = coordinator / LOG_POLICY
    (log,) = LogPolicy.parse(policy.read_bytes()).logs.values()
    made: dict[str, LabWitness] = {}
    lines: list[str] = []
    for name, port in zip(names, ports, strict=False):
        line = veilscore(
            *("witness", "init", state / name, "--name", name, "--log", log.vkey),
            *("--host", HOST, "--port", str(port)),
            party=name,
        )
        lines.append(line)
        made[name] = LabWitness(state / name, f"http://{HOST}:{port}")
    lines.append(f"group witnesses all {' '.join(names)}\nquorum witnesses\n")
    text = policy.read_text(encoding="utf-8").replace("\nquorum none\n", "\n")
    policy.write_text(text + "".join(lines), encoding="utf-8")
    return made


def _join(federation: Federation, member: Member, fingerprint: str, kit: Path) -> None:
    card = member.folder / "card.json"
    veilscore(
        *("coordinator", "admit", card, "--config", federation.config, "--out", kit),
        *("--fingerprint", fingerprint),
        party=member.name,
    )
    veilscore(
        *("node", "join", kit, "--config", member.config),
        *("--fingerprint", federation.fingerprint),
        party=member.name,
    )


def _set_policy(member: Member) -> None:
    """Fill in what the party allows, as its operator would in an editor."""
    document = tomllib.loads(member.config.read_text(encoding="utf-8"))
    for table, values in (
        ("training", member.settings.training),
        ("scoring", member.settings.scoring),
    ):
        document[table] = {**document.get(table, {}), **values}
    member.config.write_text(to_toml(document), encoding="utf-8")


def _free_ports() -> Iterator[int]:
    """Yield ports that are free now, none twice."""
    for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        yield port
