"""Says what a build with CUDA would cost, of a report of ``pip install --dry-run``.

Prints one sentence if pip would install CUDA, else nothing. Sizes are asked of where
pip would fetch the packages. It needs nothing but Python: setup.sh runs it before
anything is installed.
"""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Final

_CUDA: Final = ("nvidia-", "cuda-")
_TIMEOUT_S: Final = 10


def _size(url: str) -> int:
    """Return the bytes behind a URL; raises OSError or ValueError if it is not told."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - pip's own URLs
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
        return int(answer.headers["Content-Length"] or "")


def _told(plan: list[tuple[str, str]]) -> str:
    """Return the sentence about packages, each a name and a URL; empty without CUDA."""
    names = [name.lower().replace("_", "-") for name, _ in plan]
    if not any(name.startswith(_CUDA) for name in names):
        return ""
    total, unknown = 0, 0
    for _, url in plan:
        try:
            total += _size(url)
        except (OSError, ValueError):
            unknown += 1
    size = f"{total / 1e9:.1f} GB"
    if unknown:
        size = f"{size} and {unknown} packages of a size that is not told"
    return f"{len(plan)} packages, {size} to download and about twice that on disk"


def main(report: Path) -> None:
    """Print the sentence about a report."""
    found = json.loads(report.read_bytes())["install"]
    plan = [(each["metadata"]["name"], each["download_info"]["url"]) for each in found]
    if told := _told(plan):
        sys.stdout.write(told + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
