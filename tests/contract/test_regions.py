"""A region's name says where it is, on which picture, and sorts beside those of the same picture alone."""

import pytest

from contract.regions import names_of_regions, picture_of, region_name, region_of

BOX = (10, 20, 300, 400)


@pytest.mark.parametrize(
    ("parent", "name"),
    [
        ("a/x.jpg", "a/x.jpg#xywh=10,20,300,400"),
        ("x.pdf#page=3", "x.pdf#page=3&xywh=10,20,300,400"),
        ("x.pdf#page=3&image=1", "x.pdf#page=3&image=1&xywh=10,20,300,400"),
        ("photos.zip#a/x=1.jpg", "photos.zip#a/x=1.jpg#xywh=10,20,300,400"),
        ("https://e.org/c1#image=2", "https://e.org/c1#image=2&xywh=10,20,300,400"),
        ("a\nb.jpg", "a\nb.jpg#xywh=10,20,300,400"),
    ],
)
def test_a_name_and_back(parent: str, name: str) -> None:
    assert region_name(parent, BOX) == name
    assert region_of(name) == (parent, BOX)
    assert picture_of(name) == parent
    first, end = names_of_regions(parent)
    assert first <= name < end
    others = [parent, f"{parent}#xywh", region_name(f"{parent}x", BOX), region_name(f"{parent}#", BOX)]
    assert not any(first <= other < end for other in others)


@pytest.mark.parametrize(
    "name",
    ["x.jpg", "#xywh=1,2,3,4", "x.jpg#xywh=1,2,3", "x.jpg#xywh=1,2,0,4", "x.jpg#xywh=-1,2,3,4", "x.jpg#xywh=1,2,3,4,5"],
)
def test_no_region(name: str) -> None:
    assert region_of(name) is None
    assert picture_of(name) == name


@pytest.mark.parametrize(
    ("crop", "of"),
    [
        ("data/69_abc_crop0.jpg", "data/69_abc.jpg"),
        ("69_abc_crop12", "69_abc"),
        ("shoe_crop.jpg", "shoe.jpg"),
        ("my_crops/a.jpg", "my_crops/a.jpg"),
        ("my_crop1/a.jpg", "my_crop1/a.jpg"),
        ("_crop1.jpg", "_crop1.jpg"),
        ("a/_crop1.jpg", "a/_crop1.jpg"),
        ("a_cropped.jpg", "a_cropped.jpg"),
    ],
)
def test_crops_of_other_programs_are_of_their_picture(crop: str, of: str) -> None:
    assert picture_of(crop) == of
    assert region_of(crop) is None
