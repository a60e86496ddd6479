#!/usr/bin/env bash
# Makes .venv with everything installed. Called by make; safe to run again.
#   deploy/setup.sh        what is needed to run
#   deploy/setup.sh dev    also what is needed to test and change the code
# TORCH names what pip installs for PyTorch: a version, or the path of a wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # without byte-code every start takes twice as long

python=${PYTHON:-python3}
torch=${TORCH:-torch==2.13.0}
groups=${1:-run}
stamp=.venv/.ready-$groups

if [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt deploy/setup.sh ]; then
    exit 0
fi

if ! "$python" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))'; then
    echo "Error: $python is $("$python" --version 2>&1), Veilscore needs Python 3.11, 3.12 or 3.13." >&2
    echo "Install one of them and name it: make demo PYTHON=python3.12" >&2
    exit 2
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    echo "Error: $python cannot make virtual environments (no ensurepip)." >&2
    echo "On Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 2
fi

cat <<TEXT
Veilscore sets itself up in .venv ($groups):
  PyTorch, CPU build    about 200 MB (for horizontal training)
  everything else       about 250 MB$([ "$groups" = dev ] && echo ", and 350 MB for tests and checks")
  on disk afterwards    about $([ "$groups" = dev ] && echo 2.3 || echo 1.5) GB; two to five minutes on an ordinary line
Where pip finds no CPU build, it takes the standard one with CUDA (several GB). That is
said with sizes before it is downloaded, and how to avoid it.
TEXT

[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --upgrade 'pip>=25.1'
# What pip would download for PyTorch. Where that is the build with CUDA, one of pip's
# indexes or folders may have the CPU build under its own name.
report=$(mktemp)
trap 'rm -f "$report"' EXIT
plan() { pip install --dry-run --report "$report" "$1"; }
plan "$torch"
cuda=$(.venv/bin/python deploy/cuda_in_plan.py "$report")
if [ -n "$cuda" ] && [ -z "${TORCH:-}" ] && plan "$torch+cpu" 2>/dev/null; then
    torch=$torch+cpu
    cuda=
fi
if [ -n "$cuda" ]; then
    cat >&2 <<TEXT
pip finds only the build of PyTorch with CUDA, which nothing here uses:
  $cuda
To avoid that, stop now and name the index of CPU builds that PyTorch's installation page
gives, or a CPU wheel:
  PIP_EXTRA_INDEX_URL=URL make demo
  make demo TORCH=/path/to.whl
TEXT
    if [ -t 2 ]; then
        echo "Going on in 10 seconds." >&2
        sleep 10
    fi
fi
pip install "$torch"
if [ "$groups" = dev ]; then
    pip install --group dev --editable '.[parquet,dp]'
else
    pip install --editable '.[parquet,dp]'
fi
.venv/bin/python -m compileall -q -j 0 coordinator deploy keys models node protos
touch "$stamp"
