"""Tables for a terminal, of names that are only shown.

    as columns, if all of them fit                  else a block of lines for each row

    version  images  model                          version  1.5.0
    1.5.0     1,448  relahash-general-64bits        images   1,448
                                                    model    relahash-general-64bits

Nothing is ever cut or broken. What isn't a terminal is as wide as it needs to be.
"""

import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len

from contract.terminal import say, visible


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print ``rows``, one cell for each of ``columns``. A column of numbers (digits, commas, units) is on the right."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table_lines(columns, rows, width):
        say(line)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Returns the lines; at most ``width`` cells wide as far as its names allow, if that is given."""
    lines = [[*map(visible, row)] for row in (columns, *rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    if width is None or sum(widths) + 2 * len(widths) - 2 <= width:
        right = [all(not cell or cell[0].isdigit() for cell in cells[1:]) for cells in zip(*lines, strict=True)]
        return ["  ".join(map(_padded, line, widths, right)).rstrip() for line in lines]
    label = max(map(cell_len, lines[0]))
    blocks = [
        [f"{_padded(name, label, False)}  {cell}".rstrip() for name, cell in zip(lines[0], row, strict=True) if cell]
        for row in lines[1:]
    ]
    return [line for place, block in enumerate(blocks) for line in ([""] if place else []) + block]


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space
