#!/usr/bin/env bash
# Build searcher/Dockerfile for real and prove what its image does, on a machine without a Docker engine:
#
#   lint both Dockerfiles → make a base image → fetch what the locks name → build: plain, and with each of two indexes
#   → tests/images: what an image does, and a rolling update from the one index to the other
#
# buildah builds (chroot isolation), podman and runc run, as root; STORAGE_DRIVER=overlay is faster where the kernel has
# it. WORK keeps the base image and the packages for the next time. Needs Python with requirements-dev.lock and the
# project, and: apt-get install --no-install-recommends buildah debootstrap iproute2 podman runc
set -euo pipefail

cd "$(dirname "$0")/.."
WORK=${WORK:-/var/tmp/hashlake-images}
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
BASE=localhost/python:3.11-slim # what FROM python:3.11-slim finds first
LAYERS=()
[ "$STORAGE_DRIVER" != overlay ] || LAYERS=(--layers) # elsewhere each would be a copy of all before it
STORE=(--root "$WORK/storage" --runroot "$WORK/run")

for tool in buildah debootstrap ip podman runc hadolint; do
    command -v $tool >/dev/null || { echo "Error: $tool is missing; see the head of $0" >&2; exit 1; }
done
mkdir -p "$WORK"

hadolint searcher/Dockerfile searcher/Dockerfile.cuda
echo "hadolint: both Dockerfiles are clean"

# What each lock asks for is complete and can be had. torch is the default index's own: the CUDA build.
PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS='' PIP_EXTRA_INDEX_URL='' python -m pip install --quiet --dry-run \
    --ignore-installed --report "$WORK/cuda.json" --requirement requirements-cuda.lock
python - "$WORK/cuda.json" <<'EOF'
import json, re, sys
from pathlib import Path

def spelled(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()

def pins(file: str) -> dict[str, str]:
    return dict(line.split("==") for line in Path(file).read_text().split() if "==" in line)

found = json.loads(Path(sys.argv[1]).read_text())["install"]
resolved = {spelled(each["metadata"]["name"]): each["metadata"]["version"] for each in found}
cuda, cpu = pins("requirements-cuda.lock"), pins("requirements.lock")
assert resolved == cuda, f"the lock isn't what it resolves to: {resolved.items() ^ cuda.items()}"
differing = {name: version for name, version in cpu.items() if cuda.get(name) != version}
assert set(differing) == {"faiss-cpu"}, f"the two locks differ in {differing}"
print(f"requirements-cuda.lock: {len(cuda)} packages, which resolve to themselves; otherwise as requirements.lock")
EOF

# The base image. It takes the place of the official python:3.11-slim, and has Debian's own Python 3.11.
if ! buildah "${STORE[@]}" inspect --type image "$BASE" >/dev/null 2>&1; then
    rm -rf "$WORK/base"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$WORK/base" >"$WORK/debootstrap.log"
    cp /etc/resolv.conf "$WORK/base/etc/"
    # As in the official image: apt keeps no 80 MB of its own tables.
    printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n' >"$WORK/base/etc/apt/apt.conf.d/docker-clean"
    DEBIAN_FRONTEND=noninteractive chroot "$WORK/base" sh -c 'apt-get update --quiet=2 &&
        apt-get install --quiet=2 --yes --no-install-recommends python3.11-venv &&
        apt-get clean && rm -rf /var/lib/apt/lists/* &&
        ln -s /usr/bin/python3.11 /usr/local/bin/python' >>"$WORK/debootstrap.log" 2>&1
    tar -C "$WORK/base" -c . | podman "${STORE[@]}" import --quiet - "$BASE" >/dev/null
    rm -rf "$WORK/base"
fi

# Packages are fetched out here, where pip knows its index, and given to the build in a folder.
if ! cmp -s requirements.lock "$WORK/pip/requirements.lock"; then
    rm -rf "$WORK/pip"
    python -m pip wheel --quiet --no-deps --requirement requirements.lock --wheel-dir "$WORK/pip/wheels"
    printf '[global]\nno-index = true\nfind-links = /root/.pip/wheels\n' >"$WORK/pip/pip.conf"
    cp requirements.lock "$WORK/pip/"
fi

build() { # TAG [BUILD-ARGUMENT…]
    local tag=$1 began=$SECONDS
    shift
    buildah "${STORE[@]}" bud "${LAYERS[@]}" --isolation chroot --format docker --volume "$WORK/pip:/root/.pip:ro" \
        --file "$WORK/context/searcher/Dockerfile" --tag "$tag" --build-arg "HASHLAKE_VERSION=$release" "$@" \
        "$WORK/context" >"$WORK/build.log" 2>&1 || { tail -30 "$WORK/build.log" >&2; exit 1; }
    echo "built $tag in $((SECONDS - began)) s"
}

# The build context is a copy, because the index that is baked in goes into it.
rm -rf "$WORK/context"
mkdir "$WORK/context"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -C "$WORK/context" -x
release=$(python -c 'from hashlake.version import __version__; print(__version__)')

build efiss-ai:latest
python -m tests.images.proof "$WORK" plain efiss-ai:latest

cp -r "$WORK/index_store" "$WORK/context/"
build efiss-ai:1.5.0 --build-arg VERSION=1.5.0 --build-arg MODEL_NAME=relahash-general-64bits
python -m tests.images.proof "$WORK" baked efiss-ai:1.5.0
build efiss-ai:1.6.0 --build-arg VERSION=1.6.0 --build-arg MODEL_NAME=relahash-general-64bits
python -m tests.images.rolling "$WORK" efiss-ai:1.5.0 efiss-ai:1.6.0

# What must not build: a version that isn't there, and another release's number.
for refused in VERSION=9.9.9 HASHLAKE_VERSION=9.9.9; do
    if (build efiss-ai:refused --build-arg "$refused") >"$WORK/refused.log" 2>&1; then
        echo "Error: it builds with $refused" >&2
        exit 1
    fi
    echo "refused, as it must be: $refused ($(grep -m 1 -e "^Error: " -e "^HASHLAKE" "$WORK/build.log"))"
done

echo "Not shown here: the official base image (this one is Debian's, made by debootstrap), Docker itself, and
searcher/Dockerfile.cuda beyond its packages, which take gigabytes and a GPU."
