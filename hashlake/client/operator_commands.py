"""``hashlake reindex``, ``hashlake jobs`` and ``hashlake machine``: what operators ask a running gateway for."""

import sys
from datetime import datetime

import click

from contract.amounts import size
from contract.tables import say_table
from contract.terminal import say
from hashlake.client.client import Client
from hashlake.client.gateway_option import of_gateway


@click.command(short_help="Build a new index version, and serve it.")
@click.argument("version", metavar="VERSION")
@click.option(
    "--source", metavar="ADDRESS",
    help="Not what the gateway is configured for, but this: s3://bucket/prefix, iiif:https://…, or a folder, an "
    "archive or urls:FILE below the gateway's datalake root. Its environment has the credentials.",
)  # fmt: skip
@click.option(
    "--model_path", metavar="FILE", help="Not the served model, but this one, below the server's models folder."
)
@click.option("--mode", type=click.Choice(["default", "unnecessary fast"]), help="How it is searched.")
@of_gateway
def reindex(version: str, source: str | None, model_path: str | None, mode: str | None, client: Client) -> None:
    """Have a running gateway build the index VERSION, and return when it is served. Searches go on meanwhile."""
    done = client.reindex(version, source=source, model_path=model_path, mode=mode)
    before = done.previous_index_database_version
    say(f"{done.index_database_version} is served" + (f"; before: {before}" if before else ""))


@click.command(short_help="List the jobs of a running gateway, or say what one did.")
@click.argument("id", required=False)
@of_gateway
def jobs(id: str | None, client: Client) -> None:
    """List the newest hundred jobs, or print the log of the job ID: its steps, and what failed commands wrote."""
    if id is not None:
        for line in client.job_log(id).splitlines():
            say(line)
        return
    found = client.jobs()
    if not found:
        say("there are no jobs yet: hashlake reindex VERSION begins one")
        return
    rows = [
        (job.id, job.kind, job.state, job.phase, f"{job.done:,} of {job.total:,}", _minute(job.created), job.message)
        for job in found
    ]
    say_table(("job", "kind", "state", "phase", "images", "begun (UTC)", "message"), rows)


@click.command(short_help="Show disk, memory and checksums of a running gateway.")
@of_gateway
def machine(client: Client) -> None:
    """Show the disks, the memory and the standing of the checksums of the machine that the gateway is on. The exit
    status is 1 if a version is damaged."""
    found = client.machine()
    say_table(
        ("folder", "takes", "free", "of"),
        [(each.folder, size(each.bytes), size(each.free), size(each.total)) for each in found.disks],
    )
    memory, checksums = found.memory, found.checksums
    models = "models unknown" if memory.models is None else f"models {size(memory.models)}"
    say(
        f"memory: {size(memory.available)} of {size(memory.total)} free; "
        f"gateway {size(memory.gateway)}, {models}; {found.cores} cores"
    )
    read = f", read since {_minute(checksums.oldest)} UTC" if checksums.oldest else ""
    say(f"checksums: {checksums.whole} versions whole, {checksums.unread} not read yet{read}")
    for each in checksums.damaged:
        say(f"damaged: {each.file} of version {each.version} of the collection {each.collection}")
    if checksums.damaged:
        sys.exit(1)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
