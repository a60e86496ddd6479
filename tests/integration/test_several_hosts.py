"""The walk-through of deploy/README.md, typed on hosts of their own.

Coordinator, bank, regulator and agricultural bureau are each on a host, and files and
fingerprints pass between them as a courier and a telephone would pass them. Nobody can
dial a node: the router passes the coordinator's two ports only. On the demo's data
(fewer entities without ``--soak``) they train, the bank asks, the log is verified on a
fifth host that has no cable. Every command of steps 1 to 7 is played as it is typed
there, for the names of the parties and what stands there in capitals.

Then every TCP port of every host is dialled from the others, past the router's guard
too: a firewall is no excuse for a program that listens.
"""

import re
import shutil
import signal
import tomllib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy_documents import DEPLOY, WalkThrough, blocks_of
from tests.integration.coordinator_process import eventually
from tests.integration.namespaces import Host, Network, network, require_namespaces
from tests.integration.port_scan import Answers
from veilscore.keys.entity_ids import normalise
from veilscore.lab.comparison import compare, read_answers, write_borrowers
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import LabFile, read_lab
from veilscore.lab.plain import PlainTable, read_table
from veilscore.models import card_file
from veilscore.models.scorecard import Card

COORDINATOR, BANK, AUDITOR = "coordinator", "bank", "auditor"
NODES = (BANK, "regulator", "agriculture")
PORTS = [9443, 9444]  # as the walk-through says
FEW_ENTITIES, FEW_SCORES = 1_500, 300
TRAINING_S = 1_800.0
ALL_TCP = 65_535
CLOSED, GUARDED = "ECONNREFUSED", "EHOSTUNREACH"  # by the target; by the router


@dataclass
class Federation:
    """Everybody registered and running, and the walk-through after step 4."""

    lab: LabFile
    walk: WalkThrough
    net: Network
    tables: Mapping[str, PlainTable]
    fingerprint: str  # the coordinator's

    def host(self, name: str) -> Host:
        return self.net.hosts[name]


def carry(file: Path, to: Path) -> None:
    """Bring a file from one host to another."""
    shutil.copyfile(file, to)


def fingerprint_in(said: str) -> str:
    """Return what an operator reads out."""
    (found,) = re.findall(r"\b[0-9a-f]{64}\b", said)
    return str(found)


def lab_of(config: pytest.Config) -> LabFile:
    """Return the demo, smaller unless the tests run for long."""
    lab = read_lab("demo")
    assert lab.economy is not None
    if config.getoption("--soak"):
        return lab
    few = {
        "economy": lab.economy.model_copy(update={"entities": FEW_ENTITIES}),
        "score": lab.score.model_copy(update={"entities": FEW_SCORES}),
    }
    return lab.model_copy(update=few)


def allow_the_bank(walk: WalkThrough, node_toml: Path) -> None:
    """Write what step 4 tells a feature holder to write."""
    text = node_toml.read_text()
    for key in ("requesters", "purposes"):
        (said,) = re.findall(rf"`({key} = [^`]+)`", walk.text)
        text = text.replace(f"{key} = []", said)
    node_toml.write_text(text)


def pin(walk: WalkThrough, node_toml: Path, fingerprints: Mapping[str, str]) -> None:
    """Add ``[pins]`` as step 4 shows it, with the parties it concerns here."""
    (shown,) = [each for each in blocks_of(walk.text) if "[pins]" in each]
    assert tomllib.loads(shown)["pins"].keys() == {"regulator", "agriculture"}
    lines = [f'{party} = "{told}"\n' for party, told in fingerprints.items()]
    with node_toml.open("a") as file:
        file.writelines(["\n[pins]\n", *lines])


@pytest.fixture(scope="module")
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Federation]:
    """Play steps 1 to 4."""
    require_namespaces()
    lab, walk = lab_of(request.config), WalkThrough()
    root = tmp_path_factory.mktemp("several")
    offered = f"{PORTS[0]}-{PORTS[-1]}"
    with network(root, (COORDINATOR, *NODES), (AUDITOR,), offered) as net:
        coordinator = net.hosts[COORDINATOR]
        told = coordinator.run(*walk.typed("coordinator init"))
        fingerprint = fingerprint_in(told)
        coordinator.start(*walk.typed("coordinator run")).wait_for("pages ")

        tables: dict[str, PlainTable] = {}
        fingerprints: dict[str, str] = {}
        for name, holding in make_holdings(lab, None, root):
            host = net.hosts[name]
            (host.folder / f"{name}.source.toml").write_text(holding.source)
            init = "node init bank" if name == BANK else "node init regulator"
            told = host.run(*walk.typed(init, regulator=name))
            fingerprints[name] = fingerprint_in(told)
            tables[name] = read_table(holding.moved(host.folder / name))

        for name in NODES:
            host, names = net.hosts[name], {BANK: name}
            card = coordinator.folder / f"{name}.card.json"
            carry(host.folder / name / "card.json", card)
            admit = walk.typed("coordinator admit", **names, HEX=fingerprints[name])
            coordinator.run(*admit)
            kit = f"{name}.kit.json"
            carry(coordinator.folder / kit, host.folder / kit)
            host.run(*walk.typed("node join", **names, HEX=fingerprint))
            if name != BANK:
                allow_the_bank(walk, host.folder / name / "node.toml")
            host.run(*walk.typed("node doctor", **names))

        for name in NODES:  # once to learn of all parties, and then for good
            host = net.hosts[name]
            node = host.start(*walk.typed("node run", bank=name))
            node.wait_for("ready: ")
            node.stop()
            others = {each: fingerprints[each] for each in NODES if each != name}
            pin(walk, host.folder / name / "node.toml", others)
        nodes = [
            net.hosts[name].start(*walk.typed("node run", bank=name)) for name in NODES
        ]
        for node in nodes:
            node.wait_for("ready: ")
        yield Federation(lab, walk, net, tables, fingerprint)


def run_waiting_at(host: Host, walk: WalkThrough) -> str:
    """Return the id of the run that the node's status shows under ``pending``."""
    status = walk.typed("node status", bank=host.name)
    found: list[str] = []

    def waits() -> bool:
        found[:] = re.findall(r"pending\W+([0-9a-f]{32})\b", host.run(*status))
        return bool(found)

    eventually(waits)
    return found[0]


def test_the_walk_through_trains_scores_and_verifies(federation: Federation) -> None:
    lab, walk, tables = federation.lab, federation.walk, federation.tables
    coordinator, bank = federation.host(COORDINATOR), federation.host(BANK)

    carry(DEPLOY / "examples" / "contract.toml", coordinator.folder / "contract.toml")
    training = coordinator.start(*walk.typed("train"))
    for name in NODES:
        host = federation.host(name)
        run = run_waiting_at(host, walk)
        host.run(*walk.typed("node approve", bank=name, RUN=run))
    model = fingerprint_in(training.wait(TRAINING_S))

    asked = tables[BANK].written[: lab.score.entities]
    write_borrowers(bank.folder / "borrowers.csv", asked)
    words = walk.typed("score")
    at = words.index("--type")
    words[at : at + 2] = ["--type-column", "id_type"]  # as the demo's tables have it
    bank.run(*words, seconds=TRAINING_S)
    answers = read_answers(bank.folder / "scores.csv")
    assert len(answers) == len(asked) == lab.score.entities

    cards: dict[str, Card] = {}
    for name in NODES:
        host, out = federation.host(name), f"{name}.model.json"
        config = f"{name}/node.toml"
        host.run("veilscore", "node", "card", "--config", config, "--out", out)
        cards[name] = card_file.decode((host.folder / out).read_bytes())
    entities = [normalise(kind, entity) for kind, entity in asked]
    given = [answers[entity] for _, entity in asked]
    mismatches, example = compare(entities, given, cards, tables)
    assert mismatches == 0
    assert example.partials.keys() == {*NODES}
    assert len(set(answers.values())) > FEW_SCORES / 10  # they are no constant

    pinned = {"HEX": federation.fingerprint}
    coordinator.run(*walk.typed("audit export", **pinned))
    auditor = federation.host(AUDITOR)
    carry(coordinator.folder / "log.tar", auditor.folder / "log.tar")
    told = auditor.run(*walk.typed("audit verify", **pinned))
    assert all(f"  {name}: " in told for name in NODES)
    assert model
    assert walk.unplayed == []


def others_than(target: Host, federation: Federation) -> list[Host]:
    """Return the hosts of the other parties."""
    names = [name for name in (COORDINATOR, *NODES) if name != target.name]
    return [federation.host(name) for name in names]


def all_but(taken: list[int], error: str) -> Answers:
    """Return what a scan finds that gets this answer from all other ports."""
    return Answers(taken, {error: ALL_TCP - len(taken)})


def test_everything_that_a_node_opens_is_on_its_loopback(
    federation: Federation,
) -> None:
    for name in NODES:
        found = federation.host(name).sockets()
        pages, flower = ("127.0.0.1", 8081), ("127.0.0.1", 9101)
        assert found == {("tcp", *pages), ("tcp", *flower)}, name
    coordinator = federation.host(COORDINATOR)
    offered = {("tcp", coordinator.address, port) for port in PORTS}
    assert coordinator.sockets() == {*offered, ("tcp", "127.0.0.1", 9080)}


def test_nodes_reach_two_ports_and_nobody_reaches_them(federation: Federation) -> None:
    coordinator = federation.host(COORDINATOR)
    bank = federation.host(BANK)
    assert bank.scan(coordinator) == all_but(PORTS, GUARDED)
    for name in NODES:
        assert coordinator.scan(federation.host(name)) == all_but([], GUARDED), name


def test_a_scan_of_a_node_finds_nothing_open_without_a_firewall_either(
    federation: Federation,
) -> None:
    with federation.net.unguarded():
        for name in (COORDINATOR, *NODES):
            target = federation.host(name)
            expected = all_but(PORTS if name == COORDINATOR else [], CLOSED)
            for other in others_than(target, federation):
                assert other.scan(target) == expected, f"{other.name} dials {name}"


def test_a_scan_finds_what_listens_and_the_guard_hides_it(
    federation: Federation,
) -> None:
    bank, other = federation.host(BANK), federation.host(COORDINATOR)
    serve = ("python", "-u", "-m", "http.server", "--bind", bank.address, "31337")
    careless = bank.start(*serve)
    careless.wait_for("Serving")
    assert ("tcp", bank.address, 31337) in bank.sockets()
    assert other.scan(bank) == all_but([], GUARDED)
    with federation.net.unguarded():
        assert other.scan(bank) == all_but([31337], CLOSED)
    careless.stop(status=-signal.SIGTERM)
