"""Plots are well-formed SVG whose shapes are as long as their values."""

import re
from xml.etree import ElementTree

import pytest

from training.plots import bars, columns, histogram


def shapes(svg: str, tag: str) -> list[ElementTree.Element]:
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag == tag]


def test_columns_are_as_high_as_their_values() -> None:
    rects = shapes(columns("bits", "bit", [0.0, 0.25, 0.5, 1.0], 0.5), "rect")
    heights = [float(rect.attrib["height"]) for rect in rects]
    assert heights == pytest.approx([0, heights[3] / 4, heights[3] / 2, heights[3]], abs=0.1)


def test_bars_are_as_long_as_their_values_and_say_them() -> None:
    svg = bars("AP", [("hat", 0.2, 0.1, 0.3), ("shoe", 0.8, 0.8, 0.8)])
    short, long = (float(rect.attrib["width"]) for rect in shapes(svg, "rect"))
    assert long == pytest.approx(4 * short, abs=0.5)
    assert len(shapes(svg, "path")) == 1  # a whisker where there is an interval
    assert re.findall(r">([^<>]+)</text>", svg) == ["hat", "0.200", "shoe", "0.800"]


def test_a_histogram_shows_every_value_above_zero() -> None:
    svg = histogram("distances", "bits", {"same": [0.9, 0.1, 0.0], "other": [0.0, 0.0, 1.0]})
    hints = [title.text for title in shapes(svg, "title")]
    assert hints == ["distances", "same, 0: 0.9000", "same, 1: 0.1000", "other, 2: 1.0000"]


def test_nothing_to_show_is_no_error() -> None:
    for svg in (histogram("t", "x", {"a": [0.0], "b": [0.0]}), columns("t", "x", [], 0.5), bars("t", [])):
        assert ElementTree.fromstring(svg).tag == "svg"


def test_names_are_text_and_nothing_else() -> None:
    name = '<b>&"it\'s"'
    svg = bars(name, [(name, 0.5, 0.4, 0.6)])
    assert [text.text for text in shapes(svg, "text")] == [name, "0.500"]
    assert not shapes(svg, "b")
    assert shapes(histogram(name, name, {name: [1.0]}), "title")[1].text == f"{name}, 0: 1.0000"
    assert not shapes(columns(name, name, [1.0], 0.5), "b")
