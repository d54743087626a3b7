#!/usr/bin/env bash
# Bring the index store up to date with a folder of pictures. Does nothing when nothing changed.
#
#   bash indexer/refresh_index.sh FOLDER MODEL.pt            also fit for a cron job
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: bash $0 FOLDER MODEL.pt" >&2
    exit 2
fi
. "$(dirname "$0")/environment.sh"
exec hashlake refresh --model_path "$2" --database database_info.txt -- "$1"
