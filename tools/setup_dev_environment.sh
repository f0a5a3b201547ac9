#!/bin/sh
# Sets up what the tests need: tox in .venv, and the Pythons it tests with.
#
#   tools/setup_dev_environment.sh          then: .venv/bin/tox
#
# Interpreters come from pyenv where it is installed (missing ones are built by it), else from PATH.  Says at the
# end which ones are missing; with WANDB_NG_ALL_PYTHONS=1 that is an error.
set -eu
cd "$(dirname "$0")/.."

TESTED="3.9 3.10 3.11 3.12 3.13"
OLD="3.7 3.8" # for wandb 0.10 and 0.12, whose logs we read

if command -v pyenv >/dev/null 2>&1; then
    for version in $TESTED $OLD; do
        if ! ls -d "$(pyenv root)/versions/$version".* >/dev/null 2>&1; then
            echo "building Python $version with pyenv"
            pyenv install --skip-existing "$version" || true
        fi
    done
    # So that `python3.9` and the others are found from here.
    versions=""
    for version in 3.11 3.9 3.10 3.12 3.13 $OLD; do
        for path in "$(pyenv root)/versions/$version".*; do
            [ -d "$path" ] && versions="$versions $(basename "$path")"
        done
    done
    # shellcheck disable=SC2086
    pyenv local $versions
fi

# The server's page is tested in a real browser.
if ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
    else
        echo "NOT FOUND: chromium; the tests of the server's page will fail (apt-get install chromium)" >&2
    fi
fi

# Tests of broken disks put errors into system calls, and mount a file system that can be frozen.
for program in strace mkfs.ext4 fsfreeze; do
    command -v "$program" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 && continue
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends strace e2fsprogs util-linux >/dev/null
        break
    fi
    echo "NOT FOUND: $program; tests/faults will fail (apt-get install strace e2fsprogs util-linux)" >&2
done

python=""
for candidate in python3.11 python3.12 python3.13 python3.10 python3.9 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
        python="$candidate"
        break
    fi
done
[ -n "$python" ] || { echo "no Python 3.9 or newer was found" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "tox>=4.11"

missing=""
for version in $TESTED; do
    "python$version" -c "" >/dev/null 2>&1 || missing="$missing $version"
done
if [ -n "$missing" ]; then
    echo "NOT FOUND: Python$missing; what needs them will not be tested (install pyenv and run this again)" >&2
    [ "${WANDB_NG_ALL_PYTHONS:-0}" = 0 ] || exit 1
fi
echo "ready: .venv/bin/tox"
