"""Amounts as people read them."""


def size(count: int) -> str:
    """Returns a number of bytes: ``41.9 MiB``."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def pixels(count: int) -> str:
    """Returns a number of pixels: ``89.5 megapixels``."""
    return f"{count:,} pixels" if count < 1_000_000 else f"{count / 1_000_000:.1f} megapixels"


def bytes_beyond(count: int, most: int) -> str:
    """Returns how many bytes there are, and how many there may be: ``40.0 MiB; the limit is 32.0 MiB``. In bytes, where
    the two would read alike."""
    if size(count) == size(most):
        return f"{count:,} bytes; the limit is {most:,}"
    return f"{size(count)}; the limit is {size(most)}"
