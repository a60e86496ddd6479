#!/usr/bin/env bash
# Regenerates the Python code of protos/; with --check it only says whether the
# committed code is what the .proto files give.
set -euo pipefail
cd "$(dirname "$0")/.."
out=protos
if [ "${1:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
compile() { .venv/bin/python -m grpc_tools.protoc -I protos "$@"; }
PATH="$PWD/.venv/bin:$PATH"
compile --python_out="$out" --mypy_out=quiet:"$out" protos/veilscore/v1/*.proto
compile --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" protos/veilscore/v1/hub.proto
if [ "$out" != protos ]; then
    for made in "$out"/veilscore/v1/*; do
        if ! cmp -s "$made" "protos/veilscore/v1/${made##*/}"; then
            echo "Error: protos/veilscore/v1/${made##*/} is not what its .proto gives; run make protos" >&2
            exit 1
        fi
    done
fi
