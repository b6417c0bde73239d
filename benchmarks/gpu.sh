#!/bin/sh
# Measures training on a GPU: the step of the three families at 256x256 in each precision, with and without --jit.
# Writes bench-gpu.json and bench-gpu.md with images per second, the share of the peak and device memory.
#
#     sh benchmarks/gpu.sh                            # on a machine with a GPU
#     sh benchmarks/gpu.sh --only FastGAN --overwrite
#
# Options are those of benchmarks/bench.py. PYTHON=... selects another Python than that of .venv.
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-.venv/bin/python}
if [ ! -x "$PYTHON" ]; then
    PYTHON=$(command -v "$PYTHON" || command -v python3) || { echo "gpu.sh needs Python 3" >&2; exit 1; }
fi
exec "$PYTHON" benchmarks/bench.py --suite gpu --out bench-gpu "$@"
