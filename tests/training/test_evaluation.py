"""What is measured of the fake model, whose distances a reader computes by hand."""

from pathlib import Path

import numpy as np
import pytest

from embedding.torchscript import TorchScriptEmbedder
from tests.fakes import picture_of
from tests.training.labelled import HAT, HELD_OUT, SHOE, write_labelled
from training import evaluation
from training.distortions import DISTORTIONS
from training.errors import TrainingError
from training.evaluation import evaluate
from training.quality import FIGURES
from training.results import Evaluation
from training.split import Split, held_out_split

NONE: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures; the last held-out one, 38.png, is a hat by its picture and a shoe by its label."""
    return write_labelled(tmp_path_factory.mktemp("labelled"), wrong=(38,)).parent


@pytest.fixture(scope="module")
def found(folder: Path, grid: TorchScriptEmbedder) -> Evaluation:
    return evaluate(grid, held_out_split(folder / "labels.csv", NONE))


# --- Figures


def test_the_model_stands_first_and_baselines_below(found: Evaluation) -> None:
    assert [method.name for method in found.methods] == ["grid", "pHash", "dHash", "colour histogram"]
    assert found.methods[0].note == "16 bits"
    assert all(tuple(method.figures) == FIGURES for method in found.methods)


def test_seven_right_queries_and_a_wrong_one(found: Evaluation) -> None:
    """Hats are at most 2 bits from hats and at least 14 from shoes. Seven queries meet all 16 pictures of their class
    first; the mislabelled one meets the 16 shoes of its label last."""
    assert (found.queries, found.database, found.left_out) == (8, 32, 0)
    last = np.mean([number / (16 + number) for number in range(1, 17)])
    figures = found.methods[0].figures
    assert found.database_codes.pictures == 32
    hats = sum(number % 2 == 0 for number in range(40) if number not in HELD_OUT)
    assert hats == 16
    assert figures["mAP@all"].value == pytest.approx((7 + last) / 8, abs=1e-6)
    assert figures["precision@10"].value == figures["kNN@10"].value == 7 / 8
    assert figures["kNN@10"].low <= 7 / 8 <= figures["kNN@10"].high


def test_intervals_enclose_their_values(found: Evaluation) -> None:
    for method in found.methods:
        figures = [
            *method.figures.values(),
            *(each for one in method.near_duplicates.values() for each in one.values()),
        ]
        assert all(0 <= figure.low <= figure.value <= figure.high <= 1 for figure in figures)


def test_classes_have_their_own_means(found: Evaluation) -> None:
    hat, shoe = found.classes
    assert (hat.name, hat.queries, hat.database) == ("hat", 3, 16)
    assert (shoe.name, shoe.queries, shoe.database) == ("shoe", 5, 16)
    assert (hat.average_precision, hat.precision_10) == (1.0, 1.0)
    assert shoe.precision_10 == 4 / 5


def test_distances_are_counted_apart(found: Evaluation) -> None:
    """Of 7 × 16 pairs of one class all are within 2; the wrong query's 16 are beyond 14."""
    assert len(found.same_class) == len(found.other_class) == 17
    assert sum(found.same_class[:3]) == pytest.approx(7 / 8, abs=1e-5)
    assert sum(found.same_class[14:]) == pytest.approx(1 / 8, abs=1e-5)
    assert sum(found.other_class) == pytest.approx(1, abs=1e-5)


def test_the_worst_query_comes_first_with_its_answers(found: Evaluation) -> None:
    worst = found.worst[0]
    assert (worst.path.name, worst.label) == ("38.png", "shoe")
    assert len(found.worst) == 8
    # Cell 38 // 2 % 16 = 3 is flipped in pictures 6 and 38 (and in shoes): 6.png is the same code.
    assert (worst.answers[0].path.name, worst.answers[0].distance, worst.answers[0].label) == ("6.png", 0, "hat")
    assert [answer.distance for answer in worst.answers[1:]] == [2] * 7
    assert [answer.path.name for answer in worst.answers[1:3]] == ["2.png", "8.png"]  # by row


def test_copies_of_a_coarse_grid_are_found_again(found: Evaluation) -> None:
    """Half the size, JPEG and blur leave each cell as bright as it was. Three queries share their code with another
    picture, which is first as often as they are."""
    model = found.methods[0].near_duplicates
    assert list(model) == [distortion.name for distortion in DISTORTIONS]
    assert found.near_duplicate_queries == 8
    alone = sum(
        1 / sum((other % 2, other // 2 % 16) == (number % 2, number // 2 % 16) for other in range(40))
        for number in HELD_OUT
    )
    for name in ("half size", "JPEG q40", "blur"):
        assert model[name]["recall@1"].value == pytest.approx(alone / 8, abs=1e-6)
        assert model[name]["recall@10"].value == 1.0


@pytest.fixture(scope="module")
def detailed(tmp_path_factory: pytest.TempPathFactory, colours: TorchScriptEmbedder) -> Evaluation:
    """Forty pictures of two codes; each has 32 random bits of detail."""
    folder = tmp_path_factory.mktemp("detailed")
    rows = ["path,label"]
    for number in range(40):
        detail = int.from_bytes(np.random.default_rng(number).bytes(4), "big")
        picture_of((HAT, SHOE)[number % 2], 64, detail=detail).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{('hat', 'shoe')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return evaluate(colours, held_out_split(folder / "labels.csv", NONE))


def test_details_tell_pictures_of_one_code_apart(detailed: Evaluation) -> None:
    """By codes alone the original is any of 20 pictures; details find it, within its code or everywhere."""
    alone, ties, rank = detailed.methods[:3]
    assert [(each.name, each.note) for each in (alone, ties, rank)] == [
        ("colours", "16 bits"),
        ("colours", "16 bits, ties by detail"),
        ("colours", "rank detail: 32 bits"),
    ]
    assert [each.of_model for each in detailed.methods] == [True] * 3 + [False] * 3
    for name in ("half size", "JPEG q40", "blur"):
        assert alone.near_duplicates[name]["recall@1"].value == pytest.approx(1 / 20)
        assert ties.near_duplicates[name]["recall@1"].value == 1.0
        assert rank.near_duplicates[name]["recall@1"].value == 1.0
    assert alone.figures["mAP@all"].value == ties.figures["mAP@all"].value == 1.0
    assert rank.figures["mAP@all"].value < 0.9  # details know nothing of hats and shoes


def test_the_codes_that_are_described_are_without_details(detailed: Evaluation) -> None:
    assert len(detailed.database_codes.bit_means) == 16
    assert detailed.database_codes.distinct == 2 / 32
    assert len(detailed.same_class) == 17


def test_the_same_seed_measures_the_same(folder: Path, grid: TorchScriptEmbedder, found: Evaluation) -> None:
    split = held_out_split(folder / "labels.csv", NONE)
    assert evaluate(grid, split) == found
    assert evaluate(grid, split, seed=1) != found


def test_the_order_of_the_list_does_not_matter(folder: Path, grid: TorchScriptEmbedder, found: Evaluation) -> None:
    split = held_out_split(folder / "labels.csv", NONE)
    turned = evaluate(grid, Split(split.queries[::-1], split.database[::-1], split.protocol))
    for ours, theirs in zip(found.methods, turned.methods, strict=True):
        for name in FIGURES:
            assert ours.figures[name].value == pytest.approx(theirs.figures[name].value, abs=2e-6)
        for name, recalls in ours.near_duplicates.items():
            for places, figure in recalls.items():
                assert figure.value == pytest.approx(theirs.near_duplicates[name][places].value, abs=2e-6)


def test_queries_of_a_class_that_the_database_lacks_are_left_out(folder: Path, grid: TorchScriptEmbedder) -> None:
    split = held_out_split(folder / "labels.csv", NONE)
    hats = Split(split.queries, [file for file in split.database if file.label == "hat"], split.protocol)
    found = evaluate(grid, hats)
    assert (found.queries, found.left_out) == (3, 5)
    assert found.methods[0].figures["mAP@all"].value == 1.0
    assert (found.classes[1].queries, found.classes[1].average_precision) == (5, None)
    assert {query.label for query in found.worst} == {"hat"}
    assert found.near_duplicate_queries == 8


def test_copies_are_made_of_a_limited_number_of_queries(
    folder: Path, grid: TorchScriptEmbedder, found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "NEAR_DUPLICATES", 3)
    fewer = evaluate(grid, held_out_split(folder / "labels.csv", NONE))
    assert fewer.near_duplicate_queries == 3
    assert fewer.methods[0].figures == found.methods[0].figures


def test_it_survives_the_way_through_json(found: Evaluation) -> None:
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("content", [None, b"no picture", b""], ids=["missing", "text", "empty"])
def test_a_picture_that_cannot_be_read_is_named(
    tmp_path: Path, grid: TorchScriptEmbedder, content: bytes | None
) -> None:
    labels = write_labelled(tmp_path)
    (tmp_path / "7.png").unlink()
    if content is not None:
        (tmp_path / "7.png").write_bytes(content)
    with pytest.raises(TrainingError) as refused:
        evaluate(grid, held_out_split(labels, NONE))
    assert str(refused.value).startswith(f"{tmp_path / '7.png'}: ")
