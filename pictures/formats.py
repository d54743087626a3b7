"""The picture formats: which are read, how they are recognised, and what decoding them costs. The only list of them.

    first bytes ─▶ format ─▶ is its library installed? ─▶ pictures/opening.py lets Pillow open it
    file name   ─▶ suffix ─▶ a format's, that of a picture that nothing here decodes, or another

A closed list also keeps out formats whose decoders start other programs (EPS) or have no signature and so accept nearly
anything (TGA).
"""

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

#: How many first bytes tell a format.
HEAD = 64


@dataclass(frozen=True)
class Format:
    """A format by Pillow's ``name``, the ``suffixes`` of its files in lower case, and the ``signature`` of their first
    bytes. A sample of it is at most ``cost`` times as much decoding work as one of a PNG (pictures/work.py).
    ``module``: the package that reads it for Pillow, which ``extra`` of this project installs."""

    name: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes]
    media_type: str
    cost: int = 1
    module: str | None = None
    extra: str | None = None

    @property
    def is_readable(self) -> bool:
        return self.module is None or find_spec(self.module) is not None

    @property
    def remedy(self) -> str:
        """What installs its library."""
        return f"pip install 'hashlake[{self.extra}]'"


def _format(name: str, suffixes: str, signature: bytes, media_type: str, cost: int = 1, *library: str) -> Format:
    return Format(name, tuple(suffixes.split()), re.compile(signature, re.DOTALL), media_type, cost, *library)


#: JPEG includes the MPO files of phones. HEIF's library (libheif, LGPL) only decodes; JPEG XL's plug-in is under the
#: GPL and comes with an extra of its own. The files of both, and of AVIF, are boxes, of which the first names brands.
_ALL = (
    _format("JPEG", ".jpg .jpeg .jpe .jfif .mpo", rb"\xff\xd8\xff", "image/jpeg"),
    _format("PNG", ".png .apng", rb"\x89PNG\r\n\x1a\n", "image/png"),
    _format("WEBP", ".webp", rb"RIFF....WEBP", "image/webp"),
    _format("GIF", ".gif", rb"GIF8[79]a", "image/gif"),
    _format("BMP", ".bmp", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image/bmp"),
    _format("TIFF", ".tif .tiff", rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", "image/tiff"),
    _format("AVIF", ".avif .avifs", rb"....ftyp(....){0,12}?avi[fs]", "image/avif"),
    _format(
        "JPEG2000", ".jp2 .j2k .jpx .jpf .j2c .jpc", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "image/jp2", 5
    ),
    _format("HEIF", ".heic .heif .hif .heics .heifs", rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "image/heif", 2,
            "pi_heif", "train"),
    _format("JXL", ".jxl", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "image/jxl", 4, "pillow_jxl", "formats"),
)  # fmt: skip

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f"
)
_OTHERS = (
    ".ai .eps .svg .svgz .psb .psd .xcf .exr .hdr .jxr .wdp .dds .djvu .emf .wmf .ico .icns .pcx .pbm .pgm .pnm .ppm "
    ".tga .qoi .fits .dcm"
)
#: Suffixes of pictures that nothing here decodes: raw files of cameras, drawings, layers, high dynamic range.
UNREAD = frozenset([*_RAW.split(), *_OTHERS.split()])

_READABLE = tuple(each for each in _ALL if each.is_readable)
#: The names, for Pillow, of the formats that are read here.
FORMATS = tuple(each.name for each in _READABLE)
#: Their file name endings, in lower case.
SUFFIXES = tuple(suffix for each in _READABLE for suffix in each.suffixes)
#: The formats that would be read, if their library were installed, by their file name endings.
UNINSTALLED = {suffix: each for each in _ALL if not each.is_readable for suffix in each.suffixes}

_COSTS = {each.name: each.cost for each in _ALL}


def recognised(head: bytes) -> Format | None:
    """The format of a file that begins with ``head``, whether or not it can be read here."""
    return next((each for each in _ALL if each.signature.match(head)), None)


def cost_of(name: str | None) -> int:
    """What decoding a sample of the format called ``name`` costs, where 1 is about 10 ns."""
    return _COSTS.get(name or "", 1)


def _register() -> None:
    """Make the installed libraries known to Pillow: each picture by one thread, without its thumbnails and maps."""
    if "HEIF" in FORMATS:
        import_module("pi_heif").register_heif_opener(
            decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
        )
    if "JXL" in FORMATS:
        import_module("pillow_jxl").JpegXLImagePlugin.DECODE_THREADS = 0


_register()
