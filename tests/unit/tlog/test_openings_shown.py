"""Opening files beside a bundle: honest ones pass, others fail at a named step."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tlog.opening_story import FIRMS, NOW_S, Committed, Shower
from tests.unit.tlog.sample_log import Parties
from veilscore.keys.errors import AuditError
from veilscore.keys.tlog.evidence import opened
from veilscore.keys.tlog.evidence.opening import OpeningFile
from veilscore.v1.audit_pb2 import ConsentRegistered


@pytest.fixture(scope="module")
def shower(
    tmp_path_factory: pytest.TempPathFactory, parties: Parties
) -> Iterator[Shower]:
    made = Shower(tmp_path_factory.mktemp("shown"), parties)
    yield made
    made.evidence.log.close()


def test_the_requester_shows_the_terms_alone(shower: Shower) -> None:
    facts = dict(shower.audit(shower.bank.file("bank")).facts)
    assert facts["opened by"] == "bank"
    assert facts["consent"] == "FORM-17"
    assert "entity" not in facts


def test_the_requester_shows_one_entity_and_its_consent(shower: Shower) -> None:
    file = shower.bank.file("bank", 1, consents=[shower.consent])
    facts = dict(shower.audit(file).facts)
    assert facts["entity"] == "X:firm two, 2 of 3"
    assert facts["consent registered"].startswith("event 1 of bank, valid until ")
    written = file.sign(shower.parties.signers["bank"])
    for other in (FIRMS[0], FIRMS[2]):
        assert other.encode().hex().encode() not in written


def test_a_data_holder_shows_the_same_entity(shower: Shower) -> None:
    facts = dict(shower.audit(shower.bureau.file("bureau", 1)).facts)
    assert (facts["opened by"], facts["entity"]) == ("bureau", "X:firm two, 2 of 3")


def other_terms(**changes: object) -> Callable[[Shower], OpeningFile]:
    return lambda shower: replace(
        shower.bank.file("bank"), terms=Committed.by(100, 1, **changes).terms
    )


def moved(shower: Shower) -> OpeningFile:
    shown = replace(shower.bureau.shown(1), index=2)
    return replace(shower.bureau.file("bureau"), entities=(shown,))


WRONG: dict[str, tuple[str, Callable[[Shower], OpeningFile]]] = {
    "of another request": (
        opened.OPENING,
        lambda it: replace(it.bank.file("bank"), request="d4" * 32),
    ),
    "of a party that is not registered": (
        opened.OPENING,
        lambda it: replace(it.bank.file("bank"), party="stranger"),
    ),
    "with other terms": (opened.TERMS, other_terms(consent="FORM-18")),
    "with terms of another": (
        opened.TERMS,
        lambda it: replace(it.bank.file("bank"), terms=it.bureau.terms),
    ),
    "of a party that did not decide": (
        opened.TERMS,
        lambda it: it.bureau.file("market"),
    ),
    "with an entity of another": (
        opened.ENTITY,
        lambda it: replace(it.bank.file("bank"), entities=(it.bureau.shown(1),)),
    ),
    "with an entity elsewhere": (opened.ENTITY, moved),
    "without the consent": (opened.CONSENT, lambda it: it.bank.file("bank", 1)),
    "with a consent too many": (
        opened.CONSENT,
        lambda it: it.bank.file("bank", consents=[it.consent]),
    ),
    "with a consent that another proof belongs to": (
        opened.CONSENT,
        lambda it: it.bank.file(
            "bank",
            1,
            consents=[replace(it.consent, proof=replace(it.consent.proof, index=0))],
        ),
    ),
}


@pytest.mark.parametrize("flaw", WRONG)
def test_a_wrong_opening_fails_at_its_step(shower: Shower, flaw: str) -> None:
    step, make = WRONG[flaw]
    file = make(shower)
    known = file.party in shower.parties.signers
    with pytest.raises(AuditError) as caught:
        shower.audit(file, signer=file.party if known else "bank")
    assert caught.value.step == step


def test_a_party_cannot_show_in_the_name_of_another(shower: Shower) -> None:
    with pytest.raises(AuditError) as caught:
        shower.audit(shower.bureau.file("bureau", 1), signer="bank")
    assert caught.value.step == opened.OPENING


@pytest.mark.parametrize(
    "consent",
    [
        ConsentRegistered(purposes=["in_loan"], until=NOW_S + 9),
        ConsentRegistered(purposes=["pre_loan"], until=NOW_S - 1),
    ],
    ids=["another purpose", "expired"],
)
def test_a_consent_that_does_not_fit_is_named(
    tmp_path: Path, parties: Parties, consent: ConsentRegistered
) -> None:
    made = Shower(tmp_path, parties, consent)
    with pytest.raises(AuditError) as caught:
        made.audit(made.bank.file("bank", 1, consents=[made.consent]))
    assert caught.value.step == opened.CONSENT
    made.evidence.log.close()


def test_any_changed_byte_is_refused(shower: Shower) -> None:
    file = shower.bank.file("bank", 1, consents=[shower.consent])
    data = file.sign(shower.parties.signers["bank"])
    shower.audit_bytes(data)
    for at in range(0, len(data), 41):
        damaged = bytearray(data)
        damaged[at] ^= 1
        try:
            same = json.loads(damaged) == json.loads(data)  # white space
        except ValueError:
            same = False
        if not same:
            with pytest.raises(AuditError):
                shower.audit_bytes(bytes(damaged))
