#!/usr/bin/env bash
# Bring the index store up to date with a folder of pictures; when nothing changed, nothing is done.
#
#   bash indexer/refresh_index.sh FOLDER MODEL.pt            good for a cron job, too
#
# The version's name is made from the model and from every image's name, size and time, so that equal states meet
# again under the same name. Codes of unchanged files are taken from the newest version of the same model.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: bash $0 FOLDER MODEL.pt" >&2
    exit 2
fi
folder=$1
model=$2
store=${HASHLAKE_INDEX_STORE:-index_store}

PATH="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin:$PATH" # cron's own is short

bash "$(dirname "$0")/extract_datalake.sh" "$folder"
model_id=$(sha256sum <"$model" | cut -c1-8)
# A file that vanished meanwhile has no state; the indexer will report it.
state=$({ tr '\n' '\0' <database_info.txt | xargs -0 stat -L --printf '%n %s %.9Y\n' -- || true; } 2>/dev/null |
    sha256sum | cut -c1-12)
name=$model_id-$state

if [ ! -f "$store/$name/manifest.json" ]; then
    base=
    if [ -d "$store" ]; then
        base=$(find "$store" -mindepth 2 -maxdepth 2 -path "*/$model_id-*/manifest.json" -printf '%T@ %h\n' |
            sort -rn | sed -n '1s|.*/||p')
    fi
    hashlake index --database database_info.txt --model_path "$model" --index_store "$store" \
        --new_index_database_version "$name" ${base:+--base_version "$base"}
else
    case $(cat "$store/CURRENT") in
    "$name" | "$name"-f[0-9]*) # the second has the changes of the collection folded in
        echo "version $name is current, and nothing has changed since"
        ;;
    *)
        hashlake versions promote "$name" --index_store "$store"
        ;;
    esac
fi
