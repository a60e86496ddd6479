"""The walk-through of deploy/README.md, played on hosts of their own.

Coordinator, bank, regulator and agricultural bureau are each on a host. Nobody can dial
a node: the router passes the coordinator's two ports only. On the demo's data (fewer
entities without ``--soak``) they train, the bank asks, and the log is verified on a
fifth host that has no cable. Every command of steps 1 to 7, about witnesses, evidence,
openings and consents is played; the witness of the log is on the coordinator's host.

Then every TCP port of every host is dialled from the others, past the router's guard: a
firewall is no excuse for a program that listens.
"""

import json
import re
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.deploy_documents import DEPLOY, WalkThrough
from tests.integration.coordinator_process import eventually
from tests.integration.first_contact import (
    BANK,
    COORDINATOR,
    HOST,
    NODES,
    PARTIES,
    FirstContact,
    carry,
    told,
)
from tests.integration.namespaces import Host, network, require_namespaces
from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.note import NoteKey
from veilscore.lab.comparison import compare, read_answers, write_borrowers
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import LabFile, read_lab
from veilscore.models import card_file
from veilscore.models.scorecard import Card

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

AUDITOR = "auditor"
PORTS = [9443, 9444]  # as the walk-through says
LAST_PORT, UNOFFERED = 65_535, 31_337
FEW_ENTITIES, FEW_SCORES = 1_500, 300
LONG_S = 1_800.0


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> LabFile:
    """Return the demo, smaller unless the tests run for long."""
    demo = read_lab("demo")
    assert demo.economy is not None
    if request.config.getoption("--soak"):
        return demo
    few = {
        "economy": demo.economy.model_copy(update={"entities": FEW_ENTITIES}),
        "score": demo.score.model_copy(update={"entities": FEW_SCORES}),
    }
    return demo.model_copy(update=few)


@pytest.fixture(scope="module")
def federation(
    lab: LabFile, tmp_path_factory: pytest.TempPathFactory
) -> Generator[FirstContact]:
    """Play steps 1 to 4: everybody runs."""
    require_namespaces()
    root = tmp_path_factory.mktemp("several")
    holdings = dict(make_holdings(lab, None, root))
    offered = f"{PORTS[0]}-{PORTS[-1]}"
    with network(root, PARTIES, (AUDITOR,), offered) as net:
        contact = FirstContact(WalkThrough(), net, holdings)
        contact.play()
        yield contact


def test_the_walk_through_trains_scores_and_verifies(
    federation: FirstContact, lab: LabFile
) -> None:
    walk, tables = federation.walk, federation.tables
    coordinator, bank = federation.host(COORDINATOR), federation.host(BANK)

    def approve(name: str) -> None:
        host, run = federation.host(name), waiting_run(federation, name)
        host.run(*walk.typed("node approve", bank=name, RUN=run))

    def own_card(name: str) -> Card:
        host, config, out = federation.host(name), f"{name}/node.toml", "card.model"
        host.run("veilscore", "node", "card", "--config", config, "--out", out)
        return card_file.decode((host.folder / out).read_bytes())

    carry(DEPLOY / "examples" / "contract.toml", coordinator.folder / "contract.toml")
    training = coordinator.start(*walk.typed("train"))
    with ThreadPoolExecutor() as at_once:
        list(at_once.map(approve, NODES))
        assert told(training.wait(LONG_S))
        cards = dict(zip(NODES, at_once.map(own_card, NODES), strict=True))

    asked = tables[BANK].written[: lab.score.entities]
    write_borrowers(bank.folder / "borrowers.csv", asked)
    words = walk.typed("score")
    at = words.index("--type")
    words[at : at + 2] = ["--type-column", "id_type"]  # as the demo's tables have it
    bank.run(*words, seconds=LONG_S)
    answers = read_answers(bank.folder / "scores.csv")
    assert len(answers) == len(asked) == lab.score.entities
    given = [answers[entity] for _, entity in asked]
    entities = [normalise(kind, entity) for kind, entity in asked]
    mismatches, _ = compare(entities, given, cards, tables)
    assert mismatches == 0
    assert all(card.features for card in cards.values())
    assert len(set(given)) > FEW_SCORES / 10  # scores are whole points

    pinned = {"HEX": federation.fingerprints[COORDINATOR]}
    coordinator.run(*walk.typed("audit export --from http:", **pinned))
    auditor = federation.host(AUDITOR)
    carry(coordinator.folder / "log.tar", auditor.folder / "log.tar")
    said = auditor.run(*walk.typed("audit verify log.tar --fingerprint", **pinned))
    assert all(f"  {name}: " in said for name in PARTIES)
    policy = auditor.folder / "log-policy.txt"
    carry(bank.folder / BANK / policy.name, policy)
    said = auditor.run(*walk.typed("audit verify log.tar --policy"))
    assert "cosigned by auditor" in said
    (auditor.folder / "FILE.json").write_bytes(evidence_of_a_fork())
    said = auditor.run(*walk.typed("audit evidence"))
    assert "this log has lied" in said
    request = take_evidence(federation, auditor)
    open_and_erase(federation, auditor, request, asked)
    assert not walk.unplayed


def test_a_bank_has_applicants_scored_by_a_card_on_another_host(
    federation: FirstContact,
) -> None:
    bank, host = federation.host(BANK), federation.host(HOST)
    config, card = f"{HOST}/node.toml", f"{HOST}/hosted_card.toml"
    form = ("veilscore", "node", "form", card, "--config", config)
    host.run(*form, "--out", "form.json")
    carry(host.folder / "form.json", bank.folder / "form.json")
    rows = [
        ("12", "boat", "0.25"),
        ("", "farm", "5"),
        ("60", "?", "6"),
        ("-1", "", "0"),
    ]
    lines = ["annual_income,kind,debt_ratio", *map(",".join, rows)]
    (bank.folder / "applicants.csv").write_text("\n".join(lines) + "\n")
    bank.run(
        *("veilscore", "hosted-score", "--config", f"{BANK}/node.toml"),
        *("--form", "form.json", "--csv", "applicants.csv"),
        *("--out", "hosted.csv", "--consent", "FORM-17"),
    )
    header, *scored = (bank.folder / "hosted.csv").read_text().split()
    assert header == "row,score,request"
    requests = {line.rpartition(",")[2] for line in scored}
    assert [len(request) for request in requests] == [64]
    # By the points of deploy/examples/hosted_card.toml.
    expected = [520 + 30 - 90 - 25, 520 - 20 + 40 - 500, 520 - 20 - 7]
    rows_scored = zip((1, 2, 4), expected, strict=True)
    assert [line.rpartition(",")[0] for line in scored] == [
        f"{row},{score}" for row, score in rows_scored
    ]
    failed = (bank.folder / "hosted.errors.csv").read_text()
    assert "3,debt_ratio: the number is not from 0 to 5" in failed
    status = host.run("veilscore", "node", "status", "--config", config, "--json")
    (budget,) = json.loads(status)["hosted"]
    assert budget["requester"] == BANK
    assert budget["spent"] == 3 * 11 + 1


def take_evidence(federation: FirstContact, auditor: Host) -> str:
    """Play what the end says about evidence, on the hosts where it belongs.

    Returns the request that it is about.
    """
    walk = federation.walk
    listed = auditor.run(*walk.typed("audit search")).splitlines()
    request = listed[-1].split()[-1]
    said = auditor.run(*walk.typed("audit bundle", REQUEST=request))
    assert f"score request {request}" in said
    assert "✓ proofs of the entries" in auditor.run(*walk.typed("audit prove"))
    (auditor.folder / "log.tar").unlink()
    assert "✓ witnesses" in auditor.run(*walk.typed("audit verify 7.tlog-proof"))
    said = auditor.run(*walk.typed("audit verify evidence.json --policy"))
    assert "cosigned by auditor" in said
    assert "bits, of bank" in said
    coordinator, bank = federation.host(COORDINATOR), federation.host(BANK)
    for host in (bank, auditor):
        carry(coordinator.folder / "log.tar", host.folder / "log.tar")
    assert "✗" not in bank.run(*walk.typed("audit recon bank"))
    assert "all signed" in coordinator.run(*walk.typed("audit fsck coordinator"))
    assert "all signed" in bank.run(*walk.typed("audit fsck bank"))
    pinned = {"HEX": federation.fingerprints[BANK]}
    bank.run(*walk.typed("audit export --from-file", **pinned))
    carry(bank.folder / "own.tar", auditor.folder / "own.tar")
    assert "✗" not in auditor.run(*walk.typed("audit recon own.tar"))
    return request


def open_and_erase(
    federation: FirstContact,
    auditor: Host,
    request: str,
    asked: Sequence[tuple[EntityKind, str]],
) -> None:
    """Play what the end says of openings and consents, about a firm of the request."""
    walk, bank = federation.walk, federation.host(BANK)
    firm = next(entity for kind, entity in asked if kind is EntityKind.USCC)
    bank.run(*walk.typed("node disclose", REQUEST=request, ID=firm))
    carry(bank.folder / "opening.json", auditor.folder / "opening.json")
    said = auditor.run(*walk.typed("audit verify evidence.json --opening"))
    assert "✗" not in said
    assert firm in said
    who_asked = walk.typed("node asked-about", ID=firm)
    assert request in bank.run(*who_asked)
    (bank.folder / "form-17.pdf").write_bytes(b"a signed form")
    bank.run(*walk.typed("node consent register", ID=firm))
    bank.run(*walk.typed("node consent withdraw", ID=firm))
    bank.run(*walk.typed("node erase", ID=firm))
    assert request not in bank.run(*who_asked)


def evidence_of_a_fork() -> bytes:
    """Return what a witness keeps of a log that signed two trees of one size."""
    liar, witness = Signer.generate(), Signer.generate()
    first, second = (
        sign_checkpoint(Checkpoint("liar.example/log", 7, bytes([byte] * 32)), liar)
        for byte in (1, 2)
    )
    log = NoteKey("liar.example/log", liar.verify_key)
    found = Contradiction(log, first, second)
    return Evidence.sign(found, "auditor", witness, 1_790_000_000)


def waiting_run(federation: FirstContact, name: str) -> str:
    """Return the id of the run that a node's status shows under ``pending``."""
    host, status = (
        federation.host(name),
        federation.walk.typed("node status", bank=name),
    )
    found: list[str] = []

    def waits() -> bool:
        found[:] = re.findall(r"pending\W+run\W+([0-9a-f]{32})\b", host.run(*status))
        return bool(found)

    eventually(waits, 180)
    return found[0]


def others_than(name: str, federation: FirstContact) -> list[Host]:
    """Return the hosts of the other parties."""
    return [federation.host(other) for other in PARTIES if other != name]


def test_a_node_opens_nothing_but_two_ports_on_its_loopback(
    federation: FirstContact,
) -> None:
    pages, flower, log, witness = (
        ("tcp", "127.0.0.1", port) for port in (8081, 9101, 9080, 9090)
    )
    for name in NODES:
        assert federation.host(name).sockets() == {pages, flower}, name
    coordinator = federation.host(COORDINATOR)
    offered = {("tcp", coordinator.address, port) for port in PORTS}
    assert coordinator.sockets() == {*offered, log, witness}


def test_a_port_scan_finds_two_ports_of_the_coordinator_and_none_of_a_node(
    federation: FirstContact,
) -> None:
    with federation.net.unguarded():
        for name in PARTIES:
            expected = PORTS if name == COORDINATOR else []
            for other in others_than(name, federation):
                found = other.scan(federation.host(name), 1, LAST_PORT)
                assert found.open == expected, f"{other.name} dials {name}"
                # Every other port answered, and at once.
                assert found.errors == {"ECONNREFUSED": LAST_PORT - len(expected)}


@pytest.mark.parametrize("name", [COORDINATOR, BANK])
def test_a_scan_finds_what_listens_and_the_guard_hides_it(
    federation: FirstContact, name: str
) -> None:
    careless, other = federation.host(name), federation.host("regulator")
    serve = ("python", "-u", "-m", "http.server", "--bind", careless.address)
    listener = careless.start(*serve, str(UNOFFERED))
    listener.wait_for("Serving")
    assert ("tcp", careless.address, UNOFFERED) in careless.sockets()
    around = (UNOFFERED - 1, UNOFFERED + 1)
    assert other.scan(careless, *around).open == []
    with federation.net.unguarded():
        assert other.scan(careless, *around).open == [UNOFFERED]
    listener.stop(status=-signal.SIGTERM)
