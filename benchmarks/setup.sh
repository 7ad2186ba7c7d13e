#!/usr/bin/env bash
# The bench's own environment, with all peers. Unlike the package it needs compilers: see README.md in this folder.
set -euo pipefail
cd "$(dirname "$0")/.."
ready=.bench-venv/.ready
if [ -e "$ready" ] && [ "$ready" -nt benchmarks/peers.txt ] && [ "$ready" -nt pyproject.toml ]; then exit 0; fi

for tool in gcc g++ gfortran make; do
  command -v "$tool" >/dev/null || {
    echo "make bench needs $tool, to build the peers numbalsoda and AMICI (Debian: apt-get install g++ gfortran make)." >&2
    exit 1
  }
done

echo "Setting up .bench-venv with all peers (minutes, once) ..."
"${PYTHON:-python3}" -m venv .bench-venv
pip=(.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check)
# numbalsoda (LSODA in C++, DOP853 in Fortran) and AMICI (SUNDIALS in C) have no wheels: they are built here, for
# this processor, so that they are at their best.
export CFLAGS="-O3 -march=native" CXXFLAGS="-O3 -march=native" FFLAGS="-O3 -march=native"
"${pip[@]}" --require-hashes -r benchmarks/peers.txt
"${pip[@]}" --no-deps --no-build-isolation -e .
touch "$ready"
