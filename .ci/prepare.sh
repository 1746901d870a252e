# What ./demo and ./test share: sourced, never run. Sets up .venv from uv.lock, and asks apt only for what is missing.
# Works again without network once everything is there.

# Some images tell Python to keep no bytecode. Every recorder and every command would then compile all it imports anew,
# which is more than half of what a start costs.
unset PYTHONDONTWRITEBYTECODE

fail() {
    printf '%s\n' "callrec: $*" >&2
    exit 1
}

# apt_get ARGUMENT…: apt-get that asks nothing, as root. RUNLEVEL=1 keeps invoke-rc.d from starting services: whoever
# needs a broker starts one on a port of its own. A machine that was just started may be busy with its own updates.
apt_get() {
    if [ "$(id -u)" -eq 0 ]; then
        set -- env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
    else
        set -- sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
    fi
    "$@" </dev/null >/dev/null
}

# missing_packages COMMAND=PACKAGE…: prints the packages of the commands that are not there.
missing_packages() {
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null 2>&1 || printf ' %s' "${pair#*=}"
    done
}

# install_packages PACKAGE…
install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "$* must be installed and there is no apt-get: this sets itself up on Debian 12 only"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1 ||
        fail "$* must be installed: run this as root once, or install sudo"
    echo "callrec: installing $*"
    apt_get update || echo "callrec: apt-get update failed; trying with the lists there are" >&2
    apt_get install -y --no-install-recommends "$@" ||
        fail "apt-get could not install $*: the first set-up needs the network and root"
}

# need_packages COMMAND=PACKAGE…: installs the packages of the commands that are not there.
need_packages() {
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086
    install_packages $missing
    missing=$(missing_packages "$@")
    [ -z "$missing" ] || fail "apt-get installed$missing, but what they bring is not in PATH ($PATH)"
}

# need_python: leaves in PYTHON a Python of at least 3.11 that can make virtual environments.
need_python() {
    PYTHON=""
    for candidate in python3 python3.11 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$(command -v "$candidate")
            break
        fi
    done
    if [ -z "$PYTHON" ]; then
        need_packages python3.11=python3
        PYTHON=$(command -v python3) || fail "Python 3.11 or later is needed and could not be installed"
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "found $("$PYTHON" --version), expected Python 3.11 or later: install one and put it first in PATH"
    fi
    makes_environments || install_packages python3-venv
    makes_environments || fail "$PYTHON makes no virtual environments: put a whole Python 3.11 first in PATH"
}

makes_environments() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null
}

# need_uv: leaves in UV the uv of this clone, in an environment of its own: `uv sync` removes strangers from .venv.
need_uv() {
    UV="$ROOT/.uv/bin/uv"
    [ -x "$UV" ] && return 0
    echo "callrec: fetching uv"
    "$PYTHON" -m venv --clear "$ROOT/.uv" || fail "could not make $ROOT/.uv; is the disk full?"
    "$ROOT/.uv/bin/python" -m pip install -q --disable-pip-version-check 'uv>=0.8,<1' </dev/null ||
        fail "could not fetch uv from PyPI: the first set-up needs the network"
}

# need_environment: .venv is what uv.lock says. A mark keeps the second run off the network.
need_environment() {
    need_python
    mark="$ROOT/.venv/.callrec-synced"
    wanted=$(cat "$ROOT/uv.lock" "$ROOT/pyproject.toml" | cksum)
    if [ -x "$ROOT/.venv/bin/callrec" ] && [ "$(cat "$mark" 2>/dev/null)" = "$ROOT $wanted" ] &&
        "$ROOT/.venv/bin/python" -c 'import callrec' 2>/dev/null; then
        return 0
    fi
    [ -w "$ROOT" ] || fail "$(id -un) cannot write to $ROOT: use a clone of your own"
    need_uv
    echo "callrec: setting up .venv from uv.lock"
    # Trust whom the machine trusts, where it says so: behind a company's proxy uv's own list of authorities is not enough.
    if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
        export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1
    fi
    UV_PROJECT_ENVIRONMENT="$ROOT/.venv" UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 \
        "$UV" sync -q --frozen --project "$ROOT" --python "$PYTHON" </dev/null ||
        fail "uv could not set up .venv: the first set-up, and the first after uv.lock changed, needs the network"
    echo "$ROOT $wanted" >"$mark"
}
