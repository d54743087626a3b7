"""Documents that share pictures: similarities by hand, against brute force, and files for old and new clients."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.space import Space
from elements.similarity.figures import Figure, Figures
from elements.similarity.pairs import all_pairs, pairs_of
from elements.similarity.scores import ScoreFiles
from embedding.torchscript import TorchScriptEmbedder
from tests.fakes import png_of
from tests.hashlake.command import Answer, hashlake
from tests.sources.fetching.picture_site import PictureSite

CODE = Space(name="code", width=16)
FLOATS = Space(name="embedding", kind="float16", width=8, metric="cosine")


def document(vectors: Any) -> Figures:
    return Figures("d", [Figure(f"{row}.jpg", "") for row in range(len(vectors))], vectors, [])


def vectors(space: Space, count: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    if space.kind == "binary":
        return random.integers(0, 4, (count, 2), np.uint8)  # few bits, so that many tie
    found = random.standard_normal((count, space.width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def brute(one: Figures, other: Figures, space: Space, top_k: int, mutual: bool) -> set[tuple[int, int]]:
    if space.kind == "binary":
        difference = one.vectors[:, None] ^ other.vectors[None]
        scores = -np.unpackbits(difference, axis=2).sum(axis=2).astype(float)
    else:
        left, right = (each.vectors.astype(np.float64) for each in (one, other))
        scores = left @ right.T / np.sqrt((left**2).sum(1)[:, None] * (right**2).sum(1)[None])
    if one is other:
        np.fill_diagonal(scores, -np.inf)

    def best(table: Any) -> set[tuple[int, int]]:
        places = [np.argsort(-row, kind="stable")[:top_k] for row in table]
        return {(i, int(j)) for i, row in enumerate(places) for j in row if table[i, j] > -np.inf}

    forth, back = best(scores), {(i, j) for j, i in best(scores.T)}
    found = forth & back if mutual else forth | back
    return {(i, j) for i, j in found if one is not other or i < j}


@pytest.mark.parametrize("space", [CODE, FLOATS], ids=["code", "embedding"])
@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("sizes", [(30, 20), (5, 40), (1, 1), (25, None), (0, 3)])
def test_pairs_are_those_of_brute_force(space: Space, mutual: bool, sizes: tuple[int, int | None]) -> None:
    one = document(vectors(space, sizes[0], 1))
    other = one if sizes[1] is None else document(vectors(space, sizes[1], 2))
    rows, columns, scores = pairs_of(one, other, space, 4, mutual=mutual)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == brute(one, other, space, 4, mutual)
    assert len(rows) == len(set(zip(rows.tolist(), columns.tolist(), strict=True)))
    assert list(scores) == sorted(scores, reverse=True)


@pytest.fixture
def books(tmp_path: Path) -> dict[str, Path]:
    """Two documents: pictures by their codes, 16 bits, and one that is no picture."""
    made = {"a": [0xFFFF, 0x00FF, 0x0001], "b": [0x00FE, 0xFFFF]}
    for name, codes in made.items():
        (tmp_path / name).mkdir()
        for number, code in enumerate(codes):
            (tmp_path / name / f"{number}.png").write_bytes(png_of(code, 64))
    (tmp_path / "b" / "x.png").write_bytes(b"no picture")
    return {name: tmp_path / name for name in made}


def compare(output: Path, model: Path, *more: str | Path) -> Answer:
    return hashlake("elements", "similarity", "--model_path", model, "--output", output, *more)


def test_documents_are_compared_each_with_each(books: dict[str, Path], grid_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = compare(out, grid_path, *books.values(), "--top_k", "1", "--compatible")
    assert answer.status == 0, answer.err
    assert "a and b: 3 pairs" in answer.out and "1 pictures could not be read" in answer.err
    told = json.loads((out / "similarity.json").read_text())
    assert told["parameters"] | {"sha256": ""} == {
        "model": "grid", "sha256": "", "space": "code", "metric": "hamming", "topk": 1, "mutual": False,
        "verified": False,
    }  # fmt: skip
    images = told["index"]["images"]
    assert [each["id"] for each in images] == [
        "a_0001.jpg", "a_0002.jpg", "a_0003.jpg", "b_0001.jpg", "b_0002.jpg",
    ]  # fmt: skip
    assert [each["id"] for each in told["not_read"]] == ["b_0003.jpg"]
    assert {path.name for path in (out / "pictures").iterdir()} == {each["picture"] for each in images}
    with Image.open(out / "pictures" / images[0]["picture"]) as picture:
        assert (picture.format, max(picture.size)) == ("JPEG", 64)
    # a with itself, a with b, b with itself; 1 − 2 · bits / 16
    assert told["pairs"] == [
        [1, 2, 0.125, 0, 0], [0, 1, 0.0, 0, 0],
        [0, 4, 1.0, 0, 0], [1, 3, 0.875, 0, 0], [2, 3, 0.0, 0, 0],
        [3, 4, -0.125, 0, 0],
    ]  # fmt: skip
    name = hashlib.sha256(b"ab").hexdigest() + ".npy"
    scores = np.load(out / "scores" / name)
    assert scores["first"].tolist() == ["a_0001.jpg", "a_0002.jpg", "a_0003.jpg"]
    assert scores["score"].tolist() == [1.0, 0.875, 0.0]
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(out / "scores-compatible" / name)
    old = np.load(out / "scores-compatible" / name, allow_pickle=True)
    assert old.dtype == object and old.tolist()[1] == ["87.5", "a_0002.jpg", "b_0001.jpg"]
    assert [(float(each[0]) > 25) for each in old] == [True, True, False]  # what the client keeps
    rows = list(csv.DictReader((out / "similarity.csv").read_text().splitlines()))
    assert rows[2] == {
        "document_1": "a", "image_1": "a_0001.jpg", "document_2": "b", "image_2": "b_0002.jpg", "score": "1.00000",
        "inliers": "",
    }  # fmt: skip


def test_a_second_run_reads_what_is_new(
    books: dict[str, Path], grid_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    listed = tmp_path / "documents.json"
    listed.write_text(json.dumps({name: str(path) for name, path in books.items()}))
    assert compare(out, grid_path, "--documents", listed, "--json").status == 0
    (books["a"] / "0.png").unlink()
    (books["a"] / "9.png").write_bytes(png_of(0x0F0F, 64))
    prepared: list[int] = []
    before = TorchScriptEmbedder.prepare

    def noted(self: TorchScriptEmbedder, data: bytes) -> Any:
        prepared.append(len(data))
        return before(self, data)

    monkeypatch.setattr(TorchScriptEmbedder, "prepare", noted)
    answer = compare(out, grid_path, "--documents", listed, "--json", "--mutual")
    assert answer.status == 0, answer.err
    assert len(prepared) == 2  # the new one, and the one that failed
    last = json.loads(answer.out.splitlines()[-1])
    assert (last["done"], last["failed"]) == (6, 1)
    assert [each["documents"] for each in last["compared"]] == [["a", "a"], ["a", "b"], ["b", "b"]]
    told = json.loads((out / "similarity.json").read_text())
    assert [Path(each["src"]).name for each in told["index"]["images"]] == [
        "1.png", "2.png", "9.png", "0.png", "1.png",
    ]  # fmt: skip
    pictures = {path.name for path in (out / "pictures").iterdir()}
    assert pictures == {each["picture"] for each in told["index"]["images"]}  # none of what is gone


@pytest.mark.parametrize(
    ("listed", "said"),
    [("[]", "no JSON object"), ("{", "is no JSON"), ("{}", "name 1 to"), ('{"a b": "x"}', "unlike 'a b'"),
     ('{"a": "/nowhere"}', "a: ")],
)  # fmt: skip
def test_bad_lists(listed: str, said: str, grid_path: Path, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(listed)
    answer = compare(tmp_path / "out", grid_path, "--documents", tmp_path / "d.json")
    assert answer.status == 1 and said in answer.err


def test_an_unknown_space(books: dict[str, Path], grid_path: Path, tmp_path: Path) -> None:
    answer = compare(tmp_path / "out", grid_path, books["a"], "--space", "embedding")
    assert "the model has no space embedding; it has: code" in answer.err


def test_each_pair_of_documents_has_a_file_of_its_own(tmp_path: Path) -> None:
    """1 with 111 and 11 with itself are the same text."""
    found = [
        Figures(name, [Figure("=a.jpg", ""), Figure("b.jpg", "")], vectors(CODE, 2, row), [])
        for row, name in enumerate(("1", "11", "111"))
    ]
    with ScoreFiles(tmp_path, found, ["", "", ""]) as files:
        told = [files.add(one, other, pairs, compatible=False) for one, other, pairs in all_pairs(found, CODE)]
        files.finish({})
    assert len({each["file"] for each in told}) == len(told) == len(list((tmp_path / "scores").iterdir()))
    assert told[2]["file"] == hashlib.sha256(b"1111").hexdigest() + ".npy"
    rows = list(csv.DictReader((tmp_path / "similarity.csv").read_text().splitlines()))
    assert {row["image_1"] for row in rows} <= {"'=a.jpg", "b.jpg"}


def test_a_picture_may_have_two_names(grid_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        image = site.put("/a.png", png_of(0x00FF, 64))
        (tmp_path / "d.json").write_text(
            json.dumps({"a": f"images:{site.put('/list', json.dumps({'x': image, 'y': image}).encode())}"})
        )
        for _ in range(2):
            assert compare(tmp_path / "out", grid_path, "--documents", tmp_path / "d.json").status == 0
            told = json.loads((tmp_path / "out" / "similarity.json").read_text())
            assert [each["id"] for each in told["index"]["images"]] == ["x.jpg", "y.jpg"]
            assert told["pairs"] == [[0, 1, 1.0, 0, 0]]
        # A list of addresses may call many the same.
        (tmp_path / "l.csv").write_text(f"url,name\n{image},Portrait\n{image}?2,Portrait\n")
        site.put("/a.png?2", png_of(0x00FF, 64))
        assert compare(tmp_path / "list", grid_path, f"urls:{tmp_path}/l.csv").status == 0
        images = json.loads((tmp_path / "list" / "similarity.json").read_text())["index"]["images"]
        assert len({each["id"] for each in images}) == 2
