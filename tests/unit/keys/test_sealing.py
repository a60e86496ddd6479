"""Envelopes, attacked: read, forged, re-signed, re-addressed, replayed, dropped."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Tell
from veilscore.keys.errors import (
    KeysError,
    RegistryError,
    ReplayError,
    SealError,
    SignatureError,
)
from veilscore.keys.identity import ENVELOPE_DOMAIN, Signer
from veilscore.keys.receiving import (
    SCORE,
    PeerKeys,
    ReceivingKeys,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener, Sealer, signed_part
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader

RUN = run_purpose("00ff")
LIMIT = 100_000
TEXT = b"three thousand ciphertexts"


@dataclass
class Receiver:
    """The bank's side: keys, public half, marks that outlive the opener."""

    keys: ReceivingKeys
    public: PeerKeys
    marks: dict[str, int] = field(default_factory=dict[str, int])

    def opener(self, party: str = "bank", limit: int = LIMIT) -> Opener:
        """An opener as after a restart: new object, same marks."""
        known = {self.public.key_id: self.keys}
        return Opener(party, self.public.purpose, known, self.marks, limit)


MakeReceiver = Callable[[str], Receiver]


@pytest.fixture(scope="session")
def receiver(signers: dict[str, Signer], registry: Registry) -> MakeReceiver:
    def make(purpose: str = RUN) -> Receiver:
        keys = ReceivingKeys.generate()
        signed = keys.signed(
            signers["bank"],
            "bank",
            purpose,
            paillier=None,
            not_before=0,
            not_after=10,
        )
        return Receiver(keys, verify_signed_key(signed, registry, purpose, 5))

    return make


@pytest.fixture(scope="session")
def sealer(signers: dict[str, Signer]) -> Callable[[], Sealer]:
    return lambda: Sealer(signers["bureau"], "bureau", {})


MakeSealer = Callable[[], Sealer]


def test_recipient_reads_what_was_sealed(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank = receiver(RUN)
    sender, opener = sealer(), bank.opener()
    for seq, step in enumerate(("counts", "moments"), start=1):
        data = sender.seal(step, bank.public, TEXT + step.encode())
        header, plaintext = opener.open(data, registry)
        assert plaintext == TEXT + step.encode()
        assert header == EnvelopeHeader(
            version=1,
            purpose=RUN,
            step=step,
            sender="bureau",
            recipient="bank",
            seq=seq,
            recipient_key=bank.public.key_id,
        )
        assert TEXT not in data


@settings(deadline=None)
@given(data=st.data())
def test_one_changed_byte_anywhere_is_refused(
    data: st.DataObject, receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank = receiver(RUN)
    whole = sealer().seal("counts", bank.public, TEXT)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    opener = bank.opener()
    with pytest.raises(KeysError):
        opener.open(bytes(changed), registry)
    # what was refused has not used up the number of the true one
    assert opener.open(whole, registry)[1] == TEXT


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused(
    receiver: MakeReceiver, registry: Registry, garbage: bytes
) -> None:
    with pytest.raises(KeysError):
        receiver(RUN).opener().open(garbage, registry)


def refusal(opener: Opener, data: bytes, registry: Registry) -> str:
    """Return whom and what the opener complains of; "" if the envelope opens."""
    try:
        opener.open(data, registry)
    except KeysError as error:
        return f"of {error.party}: {error.what}"
    return ""


def test_replay_is_refused_also_after_a_restart(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry, tell: Tell
) -> None:
    said: list[str] = []
    for purpose in (RUN, SCORE):
        bank = receiver(purpose)
        data = sealer().seal("counts", bank.public, TEXT)
        opener = bank.opener()
        opener.open(data, registry)
        said += [refusal(each, data, registry) for each in (opener, bank.opener())]
    tell("M1 replayed envelopes that open", f"{said.count('')} of {len(said)}", 0)
    assert all("received before" in each for each in said)


def test_dropped_envelope_is_noticed_in_a_run(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank, sender = receiver(RUN), sealer()
    opener = bank.opener()
    first, second = (sender.seal("counts", bank.public, TEXT) for _ in range(2))
    with pytest.raises(SealError, match="envelope 1 is missing") as caught:
        opener.open(second, registry)
    assert caught.value.party == "bureau"
    opener.open(first, registry)
    opener.open(second, registry)


def test_lost_score_query_does_not_block_the_next_one(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank, sender = receiver(SCORE), sealer()
    opener = bank.opener()
    late, next_one = (sender.seal("query", bank.public, TEXT) for _ in range(2))
    opener.open(next_one, registry)
    with pytest.raises(ReplayError):
        opener.open(late, registry)


def test_sender_goes_on_counting_after_a_restart(
    receiver: MakeReceiver, signers: dict[str, Signer], registry: Registry
) -> None:
    bank, marks = receiver(SCORE), dict[str, int]()
    opener = bank.opener()
    for expected in (1, 2, 3):
        restarted = Sealer(signers["bureau"], "bureau", marks)
        header, _ = opener.open(restarted.seal("q", bank.public, TEXT), registry)
        assert header.seq == expected


def test_senders_and_purposes_are_counted_apart(
    receiver: MakeReceiver, signers: dict[str, Signer], registry: Registry
) -> None:
    run, score = receiver(RUN), receiver(SCORE)
    score.marks = run.marks
    for name in ("bureau", "market"):
        sender = Sealer(signers[name], name, {})
        for bank in (run, score):
            data = sender.seal("step", bank.public, TEXT)
            assert bank.opener().open(data, registry)[0].seq == 1


def forge(
    data: bytes, signer: Signer, *, sealed: bytes | None = None, **changes: object
) -> bytes:
    """What a party with its own signing key can make of somebody's envelope."""
    envelope = Envelope.FromString(data)
    header = EnvelopeHeader.FromString(envelope.header)
    for name, value in changes.items():
        setattr(header, name, value)
    envelope.header = header.SerializeToString(deterministic=True)
    if sealed is not None:
        envelope.sealed = sealed
    part = signed_part(envelope.sealed, envelope.header)
    envelope.signature = signer.sign(ENVELOPE_DOMAIN, part)
    return envelope.SerializeToString()


def test_stripped_and_re_signed_envelope_does_not_open(
    receiver: MakeReceiver,
    sealer: MakeSealer,
    signers: dict[str, Signer],
    registry: Registry,
) -> None:
    bank = receiver(RUN)
    data = sealer().seal("counts", bank.public, TEXT)
    # market claims the sealed part as its own: the seal binds the header
    stolen = forge(data, signers["market"], sender="market")
    with pytest.raises(SealError, match="signed but does not open") as caught:
        bank.opener().open(stolen, registry)
    assert caught.value.party == "market"
    # the hub signs in bureau's name: not bureau's key
    with pytest.raises(SignatureError):
        bank.opener().open(forge(data, signers["hub"]), registry)


FORGERIES: list[tuple[dict[str, object], str]] = [
    ({"version": 2}, "version 2"),
    ({"recipient": "market"}, "is for 'market'"),
    ({"purpose": SCORE}, "is for purpose 'score'"),
    ({"purpose": run_purpose("other")}, "is for purpose 'run:other'"),
    ({"recipient_key": b"12345678"}, "a key we do not have"),
    ({"step": "moments"}, "does not open"),
    ({"seq": 3}, "is missing"),
    ({"seq": 0}, "received before"),
    ({"sealed": b""}, "does not open"),
]


def test_sender_that_changes_one_field_is_refused_with_its_reason(
    receiver: MakeReceiver, signers: dict[str, Signer], registry: Registry, tell: Tell
) -> None:
    bureau = signers["bureau"]
    said: list[str] = []
    for change, _ in FORGERIES:
        bank = receiver(RUN)
        data = Sealer(bureau, "bureau", {}).seal("counts", bank.public, TEXT)
        forged = forge(data, bureau, **change)  # type: ignore[arg-type] # fields of one message have many types
        said.append(refusal(bank.opener(), forged, registry))
    told = f"{said.count('')} of {len(said)}"
    tell("M1 re-addressed or re-signed envelopes that open", told, 0)
    for found, (_, why) in zip(said, FORGERIES, strict=True):
        assert found.startswith("of bureau: ")
        assert why in found


def test_unregistered_sender_is_refused(
    receiver: MakeReceiver, registry: Registry
) -> None:
    bank = receiver(RUN)
    data = Sealer(Signer.generate(), "stranger", {}).seal("s", bank.public, TEXT)
    with pytest.raises(RegistryError, match="not registered"):
        bank.opener().open(data, registry)


def test_envelope_re_addressed_to_another_party_is_refused(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank = receiver(RUN)
    data = sealer().seal("counts", bank.public, TEXT)
    with pytest.raises(SealError, match="is for 'bank'"):
        bank.opener(party="market").open(data, registry)


def test_captured_envelope_stays_closed_once_the_run_key_is_deleted(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    captured = receiver(RUN)
    data = sealer().seal("counts", captured.public, TEXT)
    later = receiver(RUN)  # same party, same long-term keys, new run key
    with pytest.raises(SealError, match="do not have"):
        later.opener().open(data, registry)
    sealed = Envelope.FromString(data)
    with pytest.raises(SealError):
        later.keys.decrypt(sealed.sealed, sealed.header)


def test_size_is_capped(
    receiver: MakeReceiver, sealer: MakeSealer, registry: Registry
) -> None:
    bank = receiver(RUN)
    data = sealer().seal("counts", bank.public, TEXT)
    with pytest.raises(SealError, match="bytes long"):
        bank.opener(limit=len(data) - 1).open(data, registry)
    assert bank.opener(limit=len(data)).open(data, registry)[1] == TEXT
