"""Eight ways to tamper with a log; an older cosigned checkpoint finds them all.

Each is done twice. By hand: files of an export are changed by somebody without keys.
And as well as it can be done: by a thief who holds the keys of all parties, of the log
and of both witnesses, and makes everything anew. Then only the older checkpoint knows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import HonestLog
from tests.interop.goverify import Goverify
from tests.interop.witnessed_log import Act, WitnessedLog, publish, started
from veilscore.keys.errors import AuditError
from veilscore.keys.tlog import audit
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.audit import AuditReport, audit_export
from veilscore.keys.tlog.tiles import bundles_of, decode_bundle, encode_bundle

SIZE, COVERED, AT = 690, 300, 100  # entries, of the older checkpoint, what is changed
BACKUP = 4  # entries that the log had when a backup was made

Acts = list[Act]
Files = dict[str, bytes]

OTHER = started("bureau", "9.9.9")

# What somebody with all keys makes of the history, by the name of the tampering.
FORGERIES: dict[str, Callable[[Acts], Acts]] = {
    "change": lambda acts: [
        *acts[:AT],
        started(acts[AT].actor, "9.9.9"),
        *acts[AT + 1 :],
    ],
    "delete": lambda acts: [*acts[:AT], *acts[AT + 1 :]],
    "insert": lambda acts: [*acts[:AT], OTHER, *acts[AT:]],
    "reorder": lambda acts: [*acts[:AT], acts[AT + 1], acts[AT], *acts[AT + 2 :]],
    "truncate": lambda acts: acts[: COVERED - 1],
    "fork": lambda acts: acts[: COVERED - 1] + [OTHER] * (SIZE - COVERED),
    "rollback": lambda acts: acts[:BACKUP],
    "rewrite": lambda acts: (
        acts[:4] + [started(act.actor, "9.9.9") for act in acts[4:]]
    ),
}


def audited(honest: HonestLog, export: Path, older: str | None = None) -> AuditReport:
    with open_export(export) as files:
        return audit_export(files, policy=honest.keys.policy, older=older)


def failed_step(honest: HonestLog, export: Path, older: str | None = None) -> str:
    with pytest.raises(AuditError) as caught:
        audited(honest, export, older)
    return caught.value.step


@pytest.fixture
def keys(goverify: Goverify, honest: HonestLog) -> Path:
    return goverify.keys(honest.keys.key_lines)


@pytest.fixture
def older(honest: HonestLog, tmp_path: Path) -> Path:
    path = tmp_path / "older"
    path.write_text(honest.older(COVERED), encoding="utf-8")
    return path


@pytest.fixture
def forge(honest: HonestLog, tmp_path: Path) -> Iterator[Callable[[Acts], Files]]:
    """Return what makes a log of any acts, complete and with every true signature."""
    made: list[WitnessedLog] = []

    def forged(acts: Acts) -> Files:
        made.append(WitnessedLog(tmp_path / "forged", honest.keys))
        made[-1].grow(honest.keys.events(acts))
        return made[-1].files()

    yield forged
    for log in made:
        log.close()


def test_the_untampered_log_is_accepted(
    goverify: Goverify, honest: HonestLog, keys: Path, older: Path
) -> None:
    report = audited(honest, honest.export, honest.older(COVERED))
    assert (report.size, report.older_size) == (SIZE, COVERED)
    assert report.witnesses == ("auditor", "bureau")
    assert report.remarks == ()
    for command in ("audit", "consistency"):
        assert goverify.accepts(command, keys, honest.export, older)


@pytest.mark.parametrize("tampering", FORGERIES)
def test_tampering_with_all_true_keys_is_found_by_an_older_checkpoint(
    goverify: Goverify,
    honest: HonestLog,
    keys: Path,
    older: Path,
    forge: Callable[[Acts], Files],
    tmp_path: Path,
    tampering: str,
) -> None:
    acts = FORGERIES[tampering](honest.keys.acts(SIZE))
    files = honest.backup if tampering == "rollback" else forge(acts)
    export = publish(files, tmp_path / "export")
    # Whoever has kept nothing cannot know: all in it is consistent and truly signed.
    assert audited(honest, export).size == len(acts)
    assert f"{len(acts)} entries" in goverify.accepts("audit", keys, export)

    assert failed_step(honest, export, honest.older(COVERED)) == audit.OLDER
    for command in ("audit", "consistency"):
        told = goverify.rejects(command, keys, export, older)
        assert told.startswith("older checkpoint: the log ")
        shrank = f"shrank from {COVERED} to {len(acts)} entries" in told
        assert shrank == (len(acts) < COVERED)
        assert shrank or f"does not begin with its {COVERED} entries" in told


def test_an_older_checkpoint_knows_nothing_of_what_came_later(
    goverify: Goverify,
    honest: HonestLog,
    keys: Path,
    older: Path,
    forge: Callable[[Acts], Files],
    tmp_path: Path,
) -> None:
    """What VERIFY.md says is not proved, or that page should say more."""
    acts = [*honest.keys.acts(SIZE)[:COVERED], OTHER]
    export = publish(forge(acts), tmp_path / "export")
    assert audited(honest, export, honest.older(COVERED)).older_size == COVERED
    assert goverify.accepts("audit", keys, export, older)
    newest = tmp_path / "newest"
    newest.write_text(honest.older(SIZE), encoding="utf-8")
    assert failed_step(honest, export, honest.older(SIZE)) == audit.OLDER
    assert goverify.rejects("audit", keys, export, newest)


def leaves_of(files: Files) -> list[bytes]:
    return [
        leaf
        for bundle in bundles_of(SIZE)
        for leaf in decode_bundle(files[bundle.path], bundle.width)
    ]


def with_leaves(files: Files, leaves: list[bytes]) -> Files:
    """Write other entries into an export, and nothing else."""
    kept = {name: files[name] for name in files if "/entries/" not in name}
    for bundle in bundles_of(len(leaves)):
        at = bundle.number * 256
        kept[bundle.path] = encode_bundle(leaves[at : at + bundle.width])
    return kept


# What somebody without keys can do to the entries; "delete" has the next one stand
# twice, so that all files keep their names.
BY_HAND: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "change": lambda leaves: [
        *leaves[:AT],
        leaves[AT][:-1] + bytes([leaves[AT][-1] ^ 1]),
        *leaves[AT + 1 :],
    ],
    "delete": lambda leaves: [*leaves[:AT], leaves[AT + 1], *leaves[AT + 1 :]],
    "insert": lambda leaves: [*leaves[:AT], b"new", *leaves[AT:]],
    "reorder": lambda leaves: [
        *leaves[:AT],
        leaves[AT + 1],
        leaves[AT],
        *leaves[AT + 2 :],
    ],
    "truncate": lambda leaves: leaves[:-1],
}


def by_hand(tampering: str, honest: Files, forged: Files, older: str) -> Files:
    """Return the files of an export as somebody without keys can change them."""
    if edit := BY_HAND.get(tampering):
        return with_leaves(honest, edit(leaves_of(honest)))
    if tampering == "rollback":
        return honest | {"checkpoint": older.encode()}
    if tampering == "rewrite":
        return forged | {"checkpoint": honest["checkpoint"]}
    head, blank, signatures = forged["checkpoint"].partition(b"\n\n")
    by_log = signatures.splitlines(keepends=True)[0]  # of a fork, which no witness saw
    return forged | {"checkpoint": head + blank + by_log}


@pytest.mark.parametrize("tampering", FORGERIES)
def test_tampering_by_hand_is_found_by_anybody(
    goverify: Goverify,
    honest: HonestLog,
    keys: Path,
    older: Path,
    forge: Callable[[Acts], Files],
    tmp_path: Path,
    tampering: str,
) -> None:
    acts = honest.keys.acts(SIZE)
    forged = forge(FORGERIES["fork" if tampering == "fork" else "rewrite"](acts))
    files = by_hand(tampering, honest.files, forged, honest.older(COVERED))
    assert files != honest.files
    export = publish(files, tmp_path / "export")
    for kept in (None, honest.older(COVERED)):
        assert failed_step(honest, export, kept)
    goverify.rejects("audit", keys, export)
    goverify.rejects("audit", keys, export, older)
