"""``python -m veilscore.lab.party_process PARENT WORDS...``: the command, bound.

Runs ``veilscore WORDS...`` as the installed script does, with one addition: the
process ends when its parent, the lab, does. Where there is no PR_SET_PDEATHSIG, which
is anywhere but on Linux, a lab that is killed leaves its parties running.
"""

import sys

from veilscore.runtime.supervise import bind_to_parent


def main(parent: str, *words: str) -> None:
    """Become the command ``veilscore words...``."""
    bind_to_parent(int(parent))

    # Long imports belong after bind_to_parent.
    from veilscore.runtime.cli import main as veilscore  # noqa: PLC0415

    sys.argv = ["veilscore", *words]
    veilscore()


if __name__ == "__main__":
    main(*sys.argv[1:])
