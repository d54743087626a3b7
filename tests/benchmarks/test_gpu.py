"""The GPU's benchmark runs to its end where there is no GPU, and would notice wrong codes."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import gpu
from benchmarks.gpu import main
from tests.fakes import write_datalake
from tests.searcher.scan.oracle import Codes


def run(folder: Path, model: Path) -> str:
    arguments = [
        str(folder), "--device", "cpu", "--model_path", str(model), "--pictures", "9",
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
        for name, bits in (("code  ", 144), ("detail", 288)):
            line = rf"  {precision}, {name} +0 of {bits} bits differ, in 0 photographs, at most 0 in one; alone and in"
            assert re.search(rf"{line} batches 0 bits differ\n", said)
    rate = r" +\d+ / +\d+"
    assert re.search(rf"\n  CPU, float32 +{rate}{rate}\n  cpu, float16 +{rate}{rate}\n", said)


def test_a_model_without_details(tmp_path: Path, grid_path: Path) -> None:
    write_datalake(tmp_path, {f"{number}.png": number * 4099 for number in range(9)})
    said = run(tmp_path, grid_path)
    assert "float16, code" in said
    assert "detail" not in said


def test_bits_that_differ_are_counted(
    tmp_path: Path, colours_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_datalake(tmp_path, {f"{number}.png": number * 4099 for number in range(9)})
    right = gpu.bits_of

    def bits_of(model: gpu.TorchScriptEmbedder, pictures: Codes, batch: int) -> dict[str, gpu.NDArray[np.bool_]]:
        bits = right(model, pictures, batch)
        if model.precision == "float16":
            bits["code"][3, :2] ^= True
            bits["code"][4, 0] ^= True
            if batch == 1:
                bits["detail"][0, 0] ^= True
        return bits

    monkeypatch.setattr(gpu, "bits_of", bits_of)
    said = run(tmp_path, colours_path)
    assert re.search(r"float16, code +3 of 144 bits differ, in 2 photographs, at most 2 in one; alone .* 0 bits", said)
    assert re.search(r"float16, detail +0 of 288 bits differ, .* alone and in batches 1 bits differ", said)
