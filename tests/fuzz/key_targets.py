"""Documents, certificates, keys, envelopes, ciphertexts: what ``veilscore.keys`` reads.

Most of it is signed, and a changed byte is refused for that. So whoever may sign is
also let make things up: those targets sign what the mutation says.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Final

from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target
from veilscore.coordinator.directory import KeyDirectory
from veilscore.keys.authority import DevelopmentAuthority, requested_key
from veilscore.keys.certificates import Certificate, TlsKey, check_flower_key
from veilscore.keys.documents import sign_document
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.entity_ids import complete_resident, complete_uscc
from veilscore.keys.identity import (
    ENVELOPE_DOMAIN,
    PARTY_CARD_DOMAIN,
    RECEIVING_KEY_DOMAIN,
    REGISTRY_DOMAIN,
    WELCOME_KIT_DOMAIN,
    Signer,
)
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.linkage import BlindingKey, hash_to_group, truncate
from veilscore.keys.masks import pair_secret
from veilscore.keys.paillier.fixed_width import read_integers, write_integers
from veilscore.keys.paillier.modulus_proof import CertifiedModulus
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import MINIMUM_BITS, PublicKey
from veilscore.keys.receiving import (
    SCORE,
    ReceivingKeys,
    named_party,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.sealing import Opener, Sealer, signed_part
from veilscore.keys.tlog.database import Database
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.query import canonical_id
from veilscore.runtime.audit import evidence
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import SignedKey

_LONGEST: Final = 1 << 20
_RUN: Final = run_purpose("r1")


def _resigned(data: bytes, domain: bytes, signer: Signer) -> bytes:
    """Sign whatever an object says; other bytes go as they are."""
    try:
        body: dict[str, object] = json.loads(data)
        return sign_document(
            {name: body[name] for name in body if name != "signature"}, domain, signer
        )
    except (ValueError, TypeError, RecursionError):
        return data


def _registry_file(stock: Stock) -> bytes:
    record = PartyRecord(
        "bank",
        frozenset({Role.DATA_HOLDER, Role.REQUESTER}),
        stock.people.signers["bank"].verify_key,
        stock.flower.public_pem(),
        date(2026, 3, 1),
        stock.paillier.certify("bank"),
    )
    hub = stock.people.signers["hub"]
    records = [record, stock.people.registry.coordinator]
    return Registry.sign(records, hub, 7)


def registry(stock: Stock) -> Target:
    hub = stock.people.signers["hub"]
    return Target(
        lambda data: Registry.load(data, hub.verify_key.fingerprint),
        [_registry_file(stock)],
        share=0.3,
    )


def made_up_registry(stock: Stock) -> Target:
    hub = stock.people.signers["hub"]
    return Target(
        lambda data: Registry.load(
            _resigned(data, REGISTRY_DOMAIN, hub), hub.verify_key.fingerprint
        ),
        [_registry_file(stock)],
        share=0.5,
    )


def party_card(stock: Stock) -> Target:
    bank = stock.people.signers["bank"]
    card = PartyCard.sign(
        bank,
        "bank",
        {Role.DATA_HOLDER},
        stock.tls.request("bank"),
        stock.flower.public_pem(),
        stock.paillier.certify("bank"),
    )
    return Target(
        lambda data: PartyCard.load(_resigned(data, PARTY_CARD_DOMAIN, bank)).record(
            date(2026, 3, 1)
        ),
        [card],
        share=0.1,
    )


def welcome_kit(stock: Stock) -> Target:
    hub = stock.people.signers["hub"]
    pinned = hub.verify_key.fingerprint
    return Target(
        lambda data: WelcomeKit.load(
            _resigned(data, WELCOME_KIT_DOMAIN, hub), pinned, "bank"
        ),
        [stock.welcome_kit()],
        share=0.5,
    )


def certificate(stock: Stock) -> Target:
    def decode(data: bytes) -> None:
        found = Certificate.parse(data)
        found.check(NOW)
        assert found.party
        assert found.renew_from < found.not_after

    der = b64decode(b"".join(stock.certificate.split(b"\n")[1:-2]))
    return Target(decode, [stock.certificate, der])


def certificate_request(stock: Stock) -> Target:
    return Target(requested_key, [stock.tls.request("bank")])


def flower_key(stock: Stock) -> Target:
    return Target(
        lambda data: check_flower_key(data.decode(errors="replace")),
        [stock.flower.public_pem().encode()],
    )


def private_keys(stock: Stock) -> Target:
    readers: Mapping[bytes, Callable[[bytes], object]] = {
        b"T": TlsKey.from_pem,
        b"A": lambda pem: DevelopmentAuthority.from_pem(stock.authority.key_pem, pem),
        b"S": Signer.from_private_bytes,
        b"R": ReceivingKeys.from_private_bytes,
        b"P": PrivateKey.from_bytes,
    }
    return Target(
        lambda data: readers.get(data[:1], TlsKey.from_pem)(data[1:]),
        [
            b"T" + stock.tls.private_pem(),
            b"A" + stock.authority.certificate_pem,
            b"S" + stock.people.signers["bank"].private_bytes(),
            b"R" + stock.receiving["bank"].private_bytes(),
            b"P" + stock.paillier.to_bytes(),
        ],
        share=0.2,
    )


def paillier_modulus(stock: Stock) -> Target:
    return Target(
        lambda data: PublicKey.from_bytes(data, minimum_bits=MINIMUM_BITS),
        [stock.paillier.public.to_bytes()],
    )


def modulus_proof(stock: Stock) -> Target:
    certified = stock.paillier.certify("bank")
    size = len(certified.modulus)
    return Target(
        lambda data: CertifiedModulus(data[:size], data[size:]).key(
            "bank", MINIMUM_BITS
        ),
        [certified.modulus + certified.proof],
        share=0.05,
    )


def ciphertexts(stock: Stock) -> Target:
    public = stock.paillier.public
    sample = public.encode([pow(3, at + 2, public.n_squared) for at in range(8)])
    return Target(
        partial(public.decode, expected=None),
        [sample],
        refused=[bytes(public.ciphertext_bytes)],
        share=0.2,
    )


def fixed_width_integers(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        whole = data[: len(data) // 96 * 96]
        assert write_integers(read_integers(whole, 96), 96) == whole
        assert len(read_integers(data, 96)) == -(-len(data) // 96)

    return Target(decode, [bytes(range(192))])


def receiving_key(stock: Stock) -> Target:
    """Let the bank sign any body: peers verify it, seal to it and derive masks."""
    bank, own = stock.people.signers["bank"], stock.receiving["bureau"]
    members = stock.people.registry
    directory = KeyDirectory(
        lambda key, _, purpose: verify_signed_key(key, members, purpose, NOW)
    )

    def decode(data: bytes) -> None:
        key = SignedKey(body=data, signature=bank.sign(RECEIVING_KEY_DOMAIN, data))
        directory.publish(named_party(key), key)
        peer = verify_signed_key(key, members, SCORE, NOW)
        peer.encrypt(b"text", b"info")
        pair_secret(own.mask, peer.mask, b"context")
        peer.paillier_key()

    return Target(decode, [stock.signed_key("bank", SCORE).body], share=0.5)


def envelope(stock: Stock) -> Target:
    people, peer = stock.people, stock.peer("bureau", _RUN)
    keys = {peer.key_id: stock.receiving["bureau"]}

    def decode(data: bytes) -> None:
        evidence.envelope_header(data)
        Opener("bureau", _RUN, keys, {}, _LONGEST).open(data, people.registry)

    sealer = Sealer(people.signers["bank"], "bank", {})
    sample = sealer.seal("counts", peer, b"plain text")
    return Target(decode, [sample], share=0.5)


def envelope_header(stock: Stock) -> Target:
    """Let the bank bind any header into seal and signature of a score message."""
    people, peer = stock.people, stock.peer("bureau", SCORE)
    bank = people.signers["bank"]
    ledger = Ledger(Database(stock.file("scoring.db")))
    keys = {peer.key_id: stock.receiving["bureau"]}
    opener = Opener("bureau", SCORE, keys, ledger.received, _LONGEST)

    def decode(data: bytes) -> None:
        sealed = peer.encrypt(b"plain text", data)
        signature = bank.sign(ENVELOPE_DOMAIN, signed_part(sealed, data))
        whole = Envelope(header=data, sealed=sealed, signature=signature)
        ledger.received["received score bank"] = 0
        opener.open(whole.SerializeToString(), people.registry)
        with ledger.together():  # which writes the mark
            pass

    header = EnvelopeHeader(
        version=1,
        purpose=SCORE,
        step="query",
        sender="bank",
        recipient="bureau",
        seq=1,
        recipient_key=peer.key_id,
    )
    sample = header.SerializeToString()
    header.seq = 2**64 - 1
    return Target(decode, [sample], [header.SerializeToString()], share=0.1)


def sealed_part(stock: Stock) -> Target:
    keys, peer = stock.receiving["bureau"], stock.peer("bureau", SCORE)
    return Target(
        lambda data: keys.decrypt(data, b"info"), [peer.encrypt(b"text", b"info")]
    )


def blinded_set(_: Stock) -> Target:
    key = BlindingKey.fresh()
    points = b"".join(hash_to_group(f"X:firm {at}") for at in range(4))
    return Target(lambda data: truncate(key.blind(data, "bank")), [points], share=0.5)


def entity_id(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        once = canonical_id(data.decode(errors="replace"))
        assert canonical_id(once) == once

    resident = complete_resident("11010519491231002")
    ids = (
        f"U:{complete_uscc('91350100M000100Y')}",
        f"R:{resident}",
        "X:firm 0017",
        "X:\uff11\uff12",
    )
    return Target(decode, [text.encode() for text in ids])


def keystore(stock: Stock) -> Target:
    path = stock.file("keystore")
    Keystore.create(path, b"a passphrase")
    image = path.read_bytes()

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        Keystore.open(path, b"a passphrase").names()

    return Target(decode, [image], share=0.2)


def keystore_with_checksum(stock: Stock) -> Target:
    """Let the file be whole but for what only the passphrase proves."""
    path = stock.file("keystore")
    Keystore.create(path, b"a passphrase")
    image = path.read_bytes()

    def decode(data: bytes) -> None:
        path.write_bytes(data + hashlib.sha256(data).digest())
        Keystore.open(path, b"a passphrase").names()

    return Target(decode, [image[:-32]], share=0.005)  # each opening takes .2 to 1 s


def sealed_at_rest(stock: Stock) -> Target:
    store = stock.people.keystores["bank"]
    return Target(
        lambda data: store.open_at_rest("a.model", data),
        [store.seal_at_rest("a.model", b"a model")],
    )


def passphrase_file(stock: Stock) -> Target:
    path = stock.file("passphrase")
    path.touch(0o600)

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        read_passphrase(path)

    return Target(decode, [b"correct horse battery staple\n"], share=0.2)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "registry": registry,
    "registry that its signer made up": made_up_registry,
    "party card": party_card,
    "welcome kit": welcome_kit,
    "certificate": certificate,
    "certificate request": certificate_request,
    "Flower key": flower_key,
    "private keys": private_keys,
    "Paillier modulus": paillier_modulus,
    "modulus proof": modulus_proof,
    "ciphertexts": ciphertexts,
    "fixed-width integers": fixed_width_integers,
    "receiving key": receiving_key,
    "envelope": envelope,
    "envelope header": envelope_header,
    "sealed part": sealed_part,
    "blinded set": blinded_set,
    "entity id": entity_id,
    "keystore": keystore,
    "keystore with its checksum": keystore_with_checksum,
    "sealed file at rest": sealed_at_rest,
    "passphrase file": passphrase_file,
}
