# In a checkout, put the environment of `make serve` on the PATH: cron's own PATH is short.
unset CDPATH # cd must not search elsewhere
PATH="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin:$PATH"
if ! command -v hashlake >/dev/null; then
    echo "Error: hashlake is not installed here: run \`make serve\` first, or enter its environment" >&2
    exit 1
fi
