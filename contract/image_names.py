"""One name per image, however its URL is spelled.

    HTTP://E.org:80/a/../é?#b   ─▶  http://e.org/%C3%A9      (the WHATWG URL standard, then RFC 3986, 6.2.2)
    photos/a b.jpg, upload:…    ─▶  as they are: only what begins with http:// or https:// is a URL

An image that a collection keeps under another spelling, from before there was a normal form, keeps that name.
"""

import re

import ada_url

#: The longest name of an image, in characters.
MAX_NAME = 4096

#: As the standard reads it: white space before it counts for nothing, nor do line breaks and tabs within, and
#: backslashes are slashes. But ``http:/a.jpg`` may be a file of the datalake.
_URL = re.compile(r"[\0-\x20]*https?:[/\\]{2}", re.IGNORECASE)
_IGNORED = str.maketrans("", "", "\t\n\r")
#: An escape, unless a stray % before it would become part of another escape if this one were replaced.
_ESCAPE = re.compile(r"(?<!%)(?<!%[0-9A-Fa-f])%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
#: URLs that are their own normal form, as most are, told in a microsecond: a plain host whose last label is no number
#: and none of whose labels is in Punycode, a path without escapes and segments that begin with a dot.
_PLAIN = re.compile(
    r"https?://(?!xn--)(?:[a-z0-9-]+\.(?!xn--))*[a-z][a-z0-9-]*(?::(?!80/|443/)[1-9][0-9]{0,3})?"
    r"(?:/(?!\.)[A-Za-z0-9_~!$&()*+,;=:@.-]*)+(?:\?[A-Za-z0-9_~!$&()*+,;=:@/?.-]+)?"
)


def is_url(name: str) -> bool:
    """Whether ``name`` is an http or https URL, in any spelling."""
    return _URL.match(name.translate(_IGNORED)) is not None


def normalised(name: str) -> str:
    """Returns the one name of the image called ``name``. Two spellings of a URL have the same: scheme and host in lower
    case, the host in ASCII (IDNA), no default port, dot segment, fragment or empty query, escapes as far as needed.

    What is no URL stays as it is, as do a URL that is not valid and one whose normal form is longer than MAX_NAME.
    """
    if _PLAIN.fullmatch(name) or not is_url(name):
        return name
    try:
        url = ada_url.URL(name)
    except (ValueError, UnicodeEncodeError):
        return name
    url.hash = ""
    if url.search == "":
        url.search = ""  # drops the question mark
    normal = _ESCAPE.sub(_escape, url.href)
    return normal if len(normal) <= MAX_NAME else name


def _escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()
