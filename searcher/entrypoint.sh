#!/bin/sh
# What a container of hashlake's image runs: hashlake, with the container's words; `version` prints the version.
set -eu

# numba takes compiled code only from a folder that it may write to, and the image is read-only to this user.
if [ ! -d "$NUMBA_CACHE_DIR" ]; then
    cp -R /app/numba_cache "$NUMBA_CACHE_DIR" || echo "hashlake: the search will be compiled anew" >&2
fi

if [ -n "${NVIDIA_VISIBLE_DEVICES:-}" ]; then # the image for GPUs
    if nvidia-smi --list-gpus >/dev/null 2>&1; then
        export HASHLAKE_DEVICE="${HASHLAKE_DEVICE:-cuda:0}"
    else
        echo "hashlake: no GPU is visible (docker run --gpus all shows them); computing on the CPU" >&2
    fi
fi

if [ "${1:-}" = version ]; then
    set -- --version
fi
exec hashlake "$@"
