#!/bin/sh
# Sets up the environments and runs all tests, with tox: tools/test.sh [arguments of tox]
set -eu
cd "$(dirname "$0")/.."
tools/setup_dev_environment.sh
if [ "${WANDB_NG_ALL_PYTHONS:-0}" = 0 ]; then
    set -- --skip-missing-interpreters true "$@"
fi
exec .venv/bin/tox run-parallel --parallel 2 --parallel-no-spinner "$@"
