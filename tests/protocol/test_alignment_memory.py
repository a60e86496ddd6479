"""What an entity costs a holder while its set goes round: arrays, no Python objects."""

import subprocess
import sys

import pytest

ENTITIES = 300_000
_CHILD = f"""
import sys
import numpy as np
from tests.bench.plain_group import use_plain_group
from veilscore.models.script import Send
from veilscore.node.entities import Entities, EntityIndex
from veilscore.node.training.alignment import align
from veilscore.runtime.allocation import return_large_blocks

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line[:6] == "VmRSS:")

return_large_blocks()
use_plain_group()
start = resident()
ids = Entities.of(f"X:{{number:018d}}" for number in range({ENTITIES}))
index = EntityIndex(ids)
held = resident()
assert index.rows(["X:" + "0" * 18, "X:"]).tolist() == [0, -1]
labelled = np.zeros(len(ids), dtype=np.bool_)
script = align("bank", ("bank", "bureau"), "coordinator", "run", ids, labelled)
sent = 0
while isinstance(action := next(script), Send):
    sent += len(action.message.blinded_set.points)
del action
assert sent >= 32 * {ENTITIES}
print(held - start, resident() - held)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_entity_costs_its_id_a_hash_and_a_point() -> None:
    """20 bytes of id, 8 of its end, 12 of the index; 32 a point and 8 of its place.

    Strings, their dict, and points as objects took 320 bytes.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], check=True, capture_output=True, text=True
    )
    table, alignment = (int(each) * 1024 / ENTITIES for each in done.stdout.split())
    # And what the interpreter keeps of a part under way, 40 bytes an entity here.
    assert table < 60
    assert alignment < 90
