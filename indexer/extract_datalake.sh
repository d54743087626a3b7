#!/usr/bin/env bash
# Write the listing of a datalake: one image per line, the folder as typed followed by the path below it.
#
#   bash indexer/extract_datalake.sh FOLDER [LISTING]        LISTING: database_info.txt unless given
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: bash $0 FOLDER [LISTING]" >&2
    exit 2
fi
. "$(dirname "$0")/environment.sh"
exec hashlake listing -- "$@"
