"""The lab searches its whole log: what is planted is found, an honest log is clean."""

import hashlib
import secrets
import struct
from base64 import b64encode, urlsafe_b64encode

import numpy as np
import pytest

from veilscore.keys.entity_ids import EntityKind
from veilscore.keys.identity import Signer
from veilscore.keys.linkage import hash_to_group
from veilscore.keys.tlog.events import ActorHead, Detail, build_event, sign_event
from veilscore.lab.leaf_scan import LeafScanner
from veilscore.lab.plain import PlainTable
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    ModelRegistered,
    RunClosed,
    RunOpened,
    ScoreDecided,
)
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import HorizontalTerms, JointColumn, RunContract

PERSON, FIRM, OTHER = "50990419580404891X", "91509901MA0000001N", "farm 17"
TYPED = f"R:{PERSON}"
RIDGE = 0.0371
SIGNER = Signer.generate()


@pytest.fixture(scope="module")
def scanner() -> LeafScanner:
    none = np.zeros(0)
    table = PlainTable(
        written=(
            (EntityKind.RESIDENT, f"{PERSON[:6]} {PERSON[6:].lower()}"),
            (EntityKind.OPAQUE, OTHER),
            (EntityKind.OPAQUE, "77"),
        ),
        rows={},
        columns={
            "tax_arrears": np.array([1234.25, np.nan, RIDGE, 7.0]),
            "kind": ["household", "07", None, "sme"],
        },
        labels=none.astype(np.int8),
        judging=none.astype(np.bool_),
        rejected=0,
    )
    return LeafScanner({"bureau": table})


def leaf(detail: Detail, correlation: str = "") -> bytes:
    event = build_event(
        detail,
        actor="bureau",
        head=ActorHead(),
        correlation=correlation,
        time_ms=1_790_000_000_000,
    )
    return sign_event(event, SIGNER).leaf


def holding(octets: bytes) -> bytes:
    """Return a leaf whose contract, which holds any bytes, holds these."""
    return leaf(RunOpened(contract=secrets.token_bytes(32), contract_body=octets))


def honest() -> list[bytes]:
    contract = RunContract(run="77" * 16, ridge=RIDGE)
    manifest = ModelManifest(base_odds=RIDGE)
    digest = hashlib.sha256(secrets.token_bytes(8)).hexdigest()
    return [
        holding(contract.SerializeToString()),
        leaf(ModelRegistered(model=bytes(32), manifest=manifest.SerializeToString())),
        leaf(ScoreDecided(allowed=False, code="clock-skew", model=bytes(32)), digest),
        leaf(KeyPublished(purpose="score", digest=secrets.token_bytes(32))),
        leaf(RunClosed(completed=False, party="bureau", reason="lost in step counts")),
    ]


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


PLANTED: dict[str, tuple[bytes, str]] = {
    "an id": (PERSON.encode(), "an id of bureau"),
    "an id in small letters": (PERSON.lower().encode(), "an id of bureau"),
    "an id in UTF-16": (PERSON.encode("utf-16-le"), "an id of bureau"),
    "an id in hex": (PERSON.encode().hex().encode(), "an id of bureau"),
    "an id in HEX": (b"0" + PERSON.encode().hex().upper().encode(), "an id of bureau"),
    "an id in base64": (b64encode(PERSON.encode()), "an id of bureau"),
    "an id inside base64": (b64encode(b"\xff" + TYPED.encode()), "an id of bureau"),
    "an id after base64": (b"abc" + b64encode(TYPED.encode()), "an id of bureau"),
    "an id of a bank's own": (OTHER.encode(), "an id of bureau"),
    "its hash": (digest(PERSON), "the SHA-256 of an id of bureau"),
    "the typed id's hash": (digest(TYPED), "the SHA-256 of an id of bureau"),
    "a hash in hex": (digest(PERSON).hex().encode(), "the SHA-256 of an id of bureau"),
    "a short hash": (digest(TYPED)[:8], "the SHA-256 of an id of bureau"),
    "a hash in base64": (
        urlsafe_b64encode(digest(TYPED)),
        "the SHA-256 of an id of bureau",
    ),
    "the hash of a short id": (digest("77"), "the SHA-256 of an id of bureau"),
    "a point": (hash_to_group(TYPED), "the unblinded point of an id of bureau"),
    "a column": (b"tax_arrears", "the name of a column of bureau"),
    "a column in capitals": (b"TAX_ARREARS", "the name of a column of bureau"),
    "a column in a camel's case": (b"Tax_Arrears", "the name of a column of bureau"),
    "a level": (b"household", "a value of a column of bureau"),
    "a number": (b"1234.25", "a value of a column of bureau"),
    "a number's bits": (struct.pack("<d", RIDGE), "a value of a column of bureau"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_whatever_is_planted_is_found(scanner: LeafScanner, name: str) -> None:
    planted, what = PLANTED[name]
    leaves = [*honest()[1:], holding(b"\n" + planted), *honest()[1:]]
    if name == "a number's bits":
        del leaves[0], leaves[-4]  # whose manifest makes it public
    at = next(at for at, each in enumerate(leaves) if planted in each)
    (leak,) = scanner.scan(leaves)
    assert (leak.entry, leak.what) == (at, what)
    assert str(leak) == f"entry {at} of the log holds {what}"
    assert PERSON not in str(leak)


def test_an_honest_log_is_clean(scanner: LeafScanner) -> None:
    assert scanner.scan([each for _ in range(200) for each in honest()]) == []


def test_what_the_contract_of_a_horizontal_run_says_is_public(
    scanner: LeafScanner,
) -> None:
    household = JointColumn(name="kind", text=True, levels=["household"])
    terms = HorizontalTerms(columns=[household, JointColumn(name="tax_arrears")])
    terms.ridge = RIDGE
    contract = RunContract(run="77" * 16, horizontal=terms)
    opened = holding(contract.SerializeToString())
    assert scanner.scan([opened]) == []
    planted = holding(b"\n1234.25 " + struct.pack("<d", RIDGE))
    assert [str(leak) for leak in scanner.scan([opened, planted])] == [
        "entry 1 of the log holds a value of a column of bureau"
    ]
    # Of a column that the contract does not name nothing is public.
    terms.columns[1].name = "tax"
    renamed = RunContract(run="77" * 16, horizontal=terms).SerializeToString()
    (leak,) = scanner.scan([holding(renamed), holding(b"\ntax_arrears")])
    assert leak.what == "the name of a column of bureau"


def test_what_could_stand_there_by_chance_is_not_sought(scanner: LeafScanner) -> None:
    assert scanner.scan([holding(b"77 07 sme 7.0")]) == []
    assert scanner.scan([holding(struct.pack("<d", 7.0))]) == []
    assert scanner.scan([holding(FIRM.encode())]) == []  # nobody's
    assert scanner.scan([]) == []


def test_an_id_in_the_part_that_names_a_request_is_found(scanner: LeafScanner) -> None:
    leaves = [*honest(), leaf(ScoreDecided(allowed=True), digest(TYPED).hex())]
    (leak,) = scanner.scan(leaves)
    assert leak.entry == 5
