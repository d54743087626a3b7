"""Text in tables that people open: names are anybody's, and spreadsheets carry out what looks like a formula.

=HYPERLINK("…")  ─▶  '=HYPERLINK("…")
"""

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(text: str) -> str:
    """Returns ``text`` as a spreadsheet shows it: with an apostrophe before what would be a formula."""
    return f"'{text}" if text.startswith(_BEGINS_A_FORMULA) else text
