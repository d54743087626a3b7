"""The GPU's benchmark runs to its end where there is no GPU, and would notice wrong codes and wrong answers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import gpu
from benchmarks.gpu import Faiss, main, question_of, same_answers, verdict, why_no_faiss
from searcher.engine import Engine, Question
from searcher.flat import FlatScan
from searcher.plain import PlainScan
from tests.fakes import write_datalake
from tests.searcher.oracle import Codes, Keys, assert_same, random_codes, right_answers

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SECONDS", 0.0)


def run(folder: Path, model: Path) -> str:
    arguments = [
        str(folder), "--device", "cpu", "--model_path", str(model), "--pictures", "9",
        "--size", "3000", "--size", str(10**15), "--search_batch", "1", "--search_batch", "5",
        "--hash_batch", "2", "--hash_batch", "16",
    ]  # fmt: skip
    answer = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.output


def test_a_tiny_run(tmp_path: Path, colours_path: Path) -> None:
    write_datalake(tmp_path, {f"{number}.png": (number * 4099, number * 65_537) for number in range(20)})
    said = run(tmp_path, colours_path)
    assert said.startswith("cpu, so that nothing here is about a GPU; PyTorch ")
    assert "9 photographs, cpu against the CPU's float32; the card says float16 for a GPU\n" in said
    for precision in ("float32", "float16"):
        for name, bits in (("code       ", 144), ("detail code", 288)):
            line = rf"  {precision}, {name} +0 of {bits} bits differ, in 0 photographs, at most 0 in one; alone and in"
            assert re.search(rf"{line} batches 0 bits differ\n", said)
    rate = r" +\d+ / +\d+"
    assert re.search(rf"\n  CPU, float32 +{rate}{rate}\n  cpu, float16 +{rate}{rate}\n", said)
    assert "1,000,000,000,000,000 codes are left out: they need 139698386 GiB of memory\n" in said
    for kind in ("uniform", "clustered"):
        table = said[said.index(f"3,000 {kind} codes of 64 bits, top 10, milliseconds a query\n") :]
        time = r" +\d+\.\d{3}"
        for row, end in (
            (r"scan, \d+ cores", ""),
            ("PyTorch, CPU", "  same answers"),
            ("faiss, CPU", r"  same answers(, \d+ of 48 left to the CPU)?"),
            ("tables, one core", "  same answers"),
        ):
            assert re.search(rf"\n  {row}{time}{time}{end}\n", table), row
    assert "OTHER ANSWERS" not in said


def test_a_model_without_details(tmp_path: Path, grid_path: Path) -> None:
    write_datalake(tmp_path, {f"{number}.png": number * 4099 for number in range(9)})
    said = run(tmp_path, grid_path)
    assert "float16, code" in said
    assert "detail code" not in said


def test_bits_that_differ_are_counted(
    tmp_path: Path, colours_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_datalake(tmp_path, {f"{number}.png": number * 4099 for number in range(9)})
    right = gpu.bits_of

    def bits_of(model: gpu.HashModel, pictures: Codes, batch: int) -> tuple[gpu.NDArray[np.bool_], ...]:
        codes, details = right(model, pictures, batch)
        if model.precision == "float16":
            codes[3, :2] ^= True
            codes[4, 0] ^= True
            if batch == 1:
                details[0, 0] ^= True
        return codes, details

    monkeypatch.setattr(gpu, "bits_of", bits_of)
    said = run(tmp_path, colours_path)
    assert re.search(r"float16, code +3 of 144 bits differ, in 2 photographs, at most 2 in one; alone .* 0 bits", said)
    assert re.search(r"float16, detail code +0 of 288 bits differ, .* alone and in batches 1 bits differ", said)


class Mistaken(PlainScan):
    """Confuses two rows at one distance in the last of the answers."""

    def search(self, question: Question) -> Keys:
        answers = super().search(question)
        answers[-1][-1] += 1
        return answers


def test_an_engine_that_confuses_ties_is_found_out() -> None:
    codes = random_codes(np.random.default_rng(0), 3000, 8)
    cpu = FlatScan(codes)
    engines: list[Engine] = [PlainScan(codes), Mistaken(codes)]
    assert [verdict(engine, cpu, codes, codes[:100]) for engine in engines] == ["  same answers", "  OTHER ANSWERS"]
    assert not same_answers(Mistaken(codes), cpu, question_of(codes[:2], 3))


@pytest.mark.parametrize("k", [1, 3, 200, 3000])
@pytest.mark.parametrize("distinct", [1, 30, 3000])
def test_faiss_gives_up_where_ties_may_be_missing(distinct: int, k: int) -> None:
    random = np.random.default_rng(0)
    codes = random_codes(random, distinct, 8)[random.integers(0, distinct, 3000)]
    engine, question = Faiss(codes, CPU, PlainScan(codes)), question_of(codes[:4], k)
    assert_same(engine.search(question), right_answers(codes, question))
    assert engine.given_up == (4 if 16 * k < 3000 and distinct == 1 else engine.given_up)


def test_why_faiss_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_no_faiss(CPU) is None
    if not hasattr(gpu.faiss, "GpuIndexBinaryFlat"):
        reason = "this build of faiss has no GPU: install faiss-gpu"
        assert why_no_faiss(torch.device("cuda", 0)) == reason
        monkeypatch.setattr(gpu.faiss, "GpuIndexBinaryFlat", object, raising=False)
        assert why_no_faiss(torch.device("cuda", 0)) == "a trial ended with status 1", (
            "it has none in the other process"
        )
