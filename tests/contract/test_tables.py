"""Tables fit the terminal or become blocks; nothing is cut."""

from contract.tables import table_lines

COLUMNS = ("", "version", "images", "model")
ROWS = [("*", "1.5.0", "1,448", "relahash-general-64bits"), ("", "日本", "7", "a\x1b[2J")]


def test_columns_where_they_fit() -> None:
    lines = [
        "   version  images  model",
        "*  1.5.0     1,448  relahash-general-64bits",
        "   日本          7  a\\u001b[2J",
    ]
    assert table_lines(COLUMNS, ROWS) == table_lines(COLUMNS, ROWS, 43) == lines


def test_blocks_where_they_do_not() -> None:
    assert table_lines(COLUMNS, ROWS, 42) == [
        "         *",
        "version  1.5.0",
        "images   1,448",
        "model    relahash-general-64bits",
        "",
        "version  日本",
        "images   7",
        "model    a\\u001b[2J",
    ]
