#!/usr/bin/env bash
# Print the file of the model that made the current version, if it is in the models' folder; otherwise nothing.
#
#   bash indexer/current_model.sh [MODELS]
set -euo pipefail

store=${HASHLAKE_INDEX_STORE:-index_store}
models=${1:-torchscripts_models}
current=$(cat "$store/CURRENT" 2>/dev/null) || exit 0
# Of all sums in a manifest, the model's is the first.
sum=$(grep -o '"sha256": *"[0-9a-f]*"' "$store/$current/manifest.json" 2>/dev/null | head -n 1 | cut -d '"' -f 4) || exit 0
[ -n "$sum" ] || exit 0
find "$models" -name '*.pt' -exec sha256sum -- {} + | sed -n "s/^$sum  //p" | sort | sed -n 1p
