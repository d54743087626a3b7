"""Names of parts of files.

catalogue.pdf#page=3             catalogue.pdf, and its third page
catalogue.pdf#page=3&image=1     the first picture on it
catalogue.pdf#page=3&segment=7   text of it
a.jpg#xywh=10,20,300,400         a.jpg, and a region of it; pages have some, too (contract/regions.py)
"""

import re

from contract.regions import region_of

PART = re.compile(r"(.*)#page=([0-9]{1,9})(?:&image=([0-9]{1,9})|&segment=[0-9]{1,9})?", re.DOTALL)


def file_of(name: str) -> str | None:
    """Returns the name of the file that the part called ``name`` belongs to; None if it isn't a part's name."""
    region = region_of(name)
    found = PART.fullmatch(region.parent if region else name)
    return found[1] if found else region and region.parent
