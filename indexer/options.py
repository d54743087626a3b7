"""The options that ``hashlake index`` and ``hashlake refresh`` share."""

from pathlib import Path

import click

device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
index_store = click.option(
    "--index_store",
    default="index_store",
    show_default=True,
    envvar="HASHLAKE_INDEX_STORE",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the index versions.",
)
keep_current = click.option(
    "--keep_current", is_flag=True, help="Publish the new version without making it the current one."
)
keep_hidden = click.option(
    "--keep_hidden",
    is_flag=True,
    envvar="HASHLAKE_KEEP_HIDDEN",
    help="List trash and thumbnail folders too: .Trash-1000, @eaDir and the like.",
)
split = click.option(
    "--split",
    "splits",
    metavar="KIND",
    multiple=True,
    envvar="HASHLAKE_SPLIT",
    help="Take files of this kind apart, and index their parts: pdf, or pdf:dpi=200 for other pictures of the pages.",
)
detector = click.option(
    "--detector",
    metavar="NAME",
    envvar="HASHLAKE_REGIONS",
    help="Also index what this detector finds on each picture, as regions: page.jpg#xywh=10,20,300,400.",
)
regions_alone = click.option(
    "--regions_alone",
    is_flag=True,
    envvar="HASHLAKE_REGIONS_ALONE",
    help="With --detector: index the regions without the pictures that they are on.",
)
map_path = click.option(
    "--map_path",
    "mappings",
    metavar="FROM=TO",
    multiple=True,
    envvar="HASHLAKE_MAP_PATH",
    help="Index pictures under other names: the first FROM in one becomes TO, which may be empty. So copies are "
    "indexed, and their originals answered.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Report progress and result as JSON, an object a line.")
