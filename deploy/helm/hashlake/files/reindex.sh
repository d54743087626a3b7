#!/usr/bin/env bash
# Index what is new in the datalake, with the model that is served; when nothing changed, nothing is done.
#
# Run in the image, by compose.yaml and by the chart's CronJob. The model is taken out of the archive that TorchServe
# loads: a version of another model would be refused by every worker.
set -euo pipefail

folder=$(mktemp -d) # the image is read-only
trap 'rm -rf "$folder"' EXIT
cd "$folder"

model=$(python -c '
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    name = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["serializedFile"]
    print(archive.extract(name))
' "$HASHLAKE_MODEL_STORE/image-retrieval-v1.0.mar")
hashlake refresh --model_path "$model" -- "$HASHLAKE_DATALAKE"
