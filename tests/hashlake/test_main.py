"""``hashlake`` explains each command, searches by hand-computable distances, and fails in one line without a trace."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from hashlake.main import cli
from hashlake.version import __version__
from indexer.builder import Request, build
from pictures.opening import UNKNOWN
from searcher.collections import Collections
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import png_of, write_grid_model, write_words_model
from tests.hashlake.command import Answer, hashlake
from tests.vectors import entry_of
from tests.versions import publish

SCRIPT = Path(sys.executable).parent / "hashlake"


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    yield above
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name)


@pytest.fixture
def store(tmp_path: Path, grid: TorchScriptEmbedder) -> IndexStore:
    """Version 1.5.0 holds a picture for each of four codes, which are 0, 1, 1 and 3 bits from 0000 0000 0000 0000."""
    store = IndexStore(tmp_path / "index_store")
    codes = {"data/none.png": 0x0000, "data/two.png": 0x0100, "data/one.png": 0x8000, "data/été three.png": 0x8003}
    publish(store, "1.5.0", grid, codes, tmp_path)
    return store


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png_of(0x8001))
    return path


def error_line(answer: Answer) -> str:
    """The one line that is the whole answer of a command that failed."""
    assert answer.status == 1
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("Error: ")
    return line


# --- Help


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(words: tuple[str, ...], option: str) -> None:
    answer = hashlake(*words, option)
    assert (answer.status, answer.err) == (0, "")
    usage = answer.out.splitlines()[0]
    assert " ".join(["hashlake", *words, "[OPTIONS]"]) in usage


def test_the_commands_are_these() -> None:
    words = {" ".join(words) for words in commands(cli) if words}
    assert words == {
        "listing", "refresh", "index", "watch", "search", "archive", "serve", "shards", "sample", "train",
        "train_detector", "evaluate", "doctor", "models", "models import",
        "elements", "elements detect", "elements detectors", "elements similarity", "versions", "versions list",
        "versions verify", "versions promote", "versions rollback", "versions prune", "admin", "keys", "keys create",
        "keys list", "keys revoke", "duplicates", "reindex", "jobs", "machine",
        "collections", "collections list", "collections create",
        "collections delete", "collections stats", "collections add", "collections add_bulk", "collections search",
        "collections compare", "collections urls", "collections dump", "collections restore", "collections count",
        "collections remove", "collections fold", "collections index", "collections copy",
            "collections alias", "collections unalias",
    }  # fmt: skip


def test_every_option_says_what_it_is_for() -> None:
    def options(command: click.Command) -> Iterator[click.Option]:
        yield from (parameter for parameter in command.params if isinstance(parameter, click.Option))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from options(below)

    assert [option.name for option in options(cli) if not option.help] == []


def test_the_list_of_commands_is_on_one_line_each() -> None:
    lines = hashlake("--help").out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == sorted(cli.list_commands(click.Context(cli)))
    assert all(line.endswith(".") for line in lines)


def test_a_command_imports_its_own_room_only() -> None:
    """The gateway's process, and a client's, stay without PyTorch's 200 MB."""
    code = (
        "import sys, click\n"
        "from hashlake.main import cli\n"
        "for name in ('admin', 'keys', 'collections', 'versions'):\n"
        "    assert cli.get_command(click.Context(cli), name)\n"
        "print(sorted({'torch', 'faiss', 'numba'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- Settings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("VERIFY_MB_PER_S", "garbage", "'--verify_mb_per_s': 'garbage' is not"),
        ("VERIFY_MB_PER_S", "-1", "'--verify_mb_per_s': -1.0 is not in the range"),
        ("VERIFY_MB_PER_S", "inf", "'--verify_mb_per_s': inf is not in the range"),
        ("VERIFY_MB_PER_S", "nan", "'--verify_mb_per_s': it is no number"),
        ("START_TIMEOUT", "1e3", "'--start_timeout': '1e3' is not"),
        ("WORKERS", "0", "'--workers': 0 is not in the range"),
        ("INFERENCE_PORT", "http", "'--port': 'http' is not"),
    ],
)
def test_a_wrong_variable_is_told_before_anything_starts(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HASHLAKE_{variable}", value)
    answer = hashlake("serve")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"Error: Invalid value for {said}")


@pytest.mark.parametrize("variable", ["HASHLAKE_FETCH_ALLOW", "HASHLAKE_FETCH_DENY"])
def test_a_wrong_list_of_hosts_is_told_before_anything_is_fetched(
    variable: str, tmp_path: Path, grid_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "a b")
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/a.png\n")
    options = ("--source", f"urls:{tmp_path / 'urls.txt'}", "--index_store", tmp_path / "store")
    answer = hashlake("index", "--model_path", grid_path, "--new_index_database_version", "1", *options)
    error = f"Error: {variable} is 'a b': 'a b' is neither a host nor a network: the host's name is not valid\n"
    assert (answer.status, answer.err) == (1, error)


# --- Search


def test_search_prints_distances_and_paths_nearest_first(store: IndexStore, grid_path: Path, photo: Path) -> None:
    """From 1000 0000 0000 0001: one.png and three.png differ in one bit, none.png in two, two.png in three."""
    answer = hashlake("search", photo, "--model_path", grid_path, "--index_store", store.folder)
    assert (answer.status, answer.err) == (0, "grid, version 1.5.0: differing bits, image\n")
    assert answer.out.splitlines() == [
        "   1  data/one.png",
        "   1  data/été three.png",
        "   2  data/none.png",
        "   3  data/two.png",
    ]


def test_search_finds_the_model_of_the_version(
    store: IndexStore, grid_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("search", photo, "--index_store", store.folder, "--top_k", "1")
    monkeypatch.setenv("HASHLAKE_MODELS", str(grid_path.parent))
    assert hashlake(*command).out == "   1  data/one.png\n"
    monkeypatch.setenv("HASHLAKE_MODELS", str(store.folder))
    assert error_line(hashlake(*command)) == (
        f"Error: version 1.5.0 was made with grid, which {store.folder} doesn't have: name its file with --model_path"
    )


def test_search_says_that_nothing_was_found(store: IndexStore, grid_path: Path, photo: Path) -> None:
    command = ("search", photo, "--model_path", grid_path, "--index_store", store.folder, "--max_distance", "0")
    answer = hashlake(*command)
    assert (answer.status, answer.out) == (0, "")
    assert answer.err == "no image is like it, among those that may be found\n"


def test_search_prints_the_best_of_each_picture(
    tmp_path: Path, grid: TorchScriptEmbedder, grid_path: Path, photo: Path
) -> None:
    store = IndexStore(tmp_path / "regions")
    codes = {"a.jpg#xywh=1,2,30,40": 0x8001, "a.jpg#xywh=5,6,70,80": 0x8000, "b.jpg": 0xC000}
    publish(store, "1", grid, codes, tmp_path)
    command = ("search", photo, "--model_path", grid_path, "--index_store", store.folder, "--collapse", "--json")
    answer = json.loads(hashlake(*command).out)
    assert answer["relevant"] == ["a.jpg#xywh=1,2,30,40", "b.jpg"]
    assert (answer["parents"], answer["boxes"]) == (["a.jpg", "b.jpg"], [[1, 2, 30, 40], None])


def test_search_as_json_is_the_servers_debug_answer(store: IndexStore, grid_path: Path, photo: Path) -> None:
    answer = hashlake(
        "search", photo, "--model-path", grid_path, "--index-store", store.folder, "--json", "--top_k", "3"
    )
    (line,) = answer.out.splitlines()
    assert json.loads(line) == {
        "index_database_version": "1.5.0",
        "relevant": ["data/one.png", "data/été three.png", "data/none.png"],
        "distances": [1, 1, 2],
    }
    assert "été" in line


def test_an_older_version_can_be_searched(
    store: IndexStore, grid: TorchScriptEmbedder, grid_path: Path, photo: Path
) -> None:
    publish(store, "1.6.0", grid, {"new.png": 0x8001}, photo.parent)
    command = ("search", photo, "--model_path", grid_path, "--index_store", store.folder, "--top_k", "1")
    assert hashlake(*command).out == "   0  new.png\n"
    assert hashlake(*command, "--index_database_version", "1.5.0").out == "   1  data/one.png\n"


def test_what_has_changed_since_is_searched_and_other_collections(
    store: IndexStore, grid: TorchScriptEmbedder, grid_path: Path, photo: Path
) -> None:
    command = ("search", photo, "--model_path", grid_path, "--index_store", store.folder, "--top_k", "1")
    collections = Collections(store.folder)
    collections.open("default").add([entry_of("http://example.org/1.png", b"\x80\x01")])
    shoes = collections.create("shoes", grid.identity)
    shoes.add([entry_of("http://example.org/2.png", b"\x80\x03")])
    assert hashlake(*command).out == "   0  http://example.org/1.png\n"
    assert hashlake(*command, "--index_database_version", "1.5.0").out == "   1  data/one.png\n"
    assert hashlake(*command, "--collection", "shoes").out == "   1  http://example.org/2.png\n"
    assert hashlake(*command, "--collection", "shoes", "--index_database_version", "0").out == ""
    assert error_line(hashlake(*command, "--collection", "hats")) == "Error: there is no collection hats"


def test_a_version_of_another_model_is_refused_with_both_names(store: IndexStore, photo: Path) -> None:
    other = write_grid_model(photo.parent / "other.pt", name="other")
    line = error_line(hashlake("search", photo, "--model_path", other, "--index_store", store.folder))
    assert line.startswith("Error: version 1.5.0 was made with model grid (sha256 ")
    assert "and this is model other (sha256 " in line


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no picture", f"Error: {UNKNOWN}"),
        (b"", "Error: the image is empty (0 bytes)"),
        (png_of(1, size=64)[:100], "Error: the image is damaged or truncated ("),
    ],
    ids=["text", "empty", "truncated"],
)
def test_a_photo_that_is_no_image_is_refused(
    store: IndexStore, grid_path: Path, photo: Path, content: bytes, complaint: str
) -> None:
    photo.write_bytes(content)
    answer = hashlake("search", photo, "--model_path", grid_path, "--index_store", store.folder)
    assert error_line(answer).startswith(complaint)


# --- Search by detail and by class


@pytest.fixture
def detailed_store(tmp_path: Path, colours: TorchScriptEmbedder) -> IndexStore:
    """Three pictures of class Shirt that differ in detail, and a robe d'été with the first one's detail code."""
    store = IndexStore(tmp_path / "index_store")
    codes = {"a.png": (0xFF00, 0x0), "b.png": (0xFF00, 0x3), "c.png": (0xFF01, 0x1), "robe.png": (0x00FF, 0x0)}
    publish(store, "2.0.0", colours, codes, tmp_path)
    return store


def search(store: IndexStore, model: Path, *arguments: str | Path) -> Answer:
    return hashlake("search", *arguments, "--model_path", model, "--index_store", store.folder)


def test_search_puts_images_at_one_distance_in_the_order_of_their_details(
    detailed_store: IndexStore, colours_path: Path, photo: Path
) -> None:
    photo.write_bytes(png_of(0xFF00, detail=0x7))
    lines = ["   0  b.png", "   0  a.png", "   1  c.png", "  16  robe.png"]
    for more in ((), ("--rank", "distance")):
        assert search(detailed_store, colours_path, photo, *more).out.splitlines() == lines


def test_search_by_detail(detailed_store: IndexStore, colours_path: Path, photo: Path) -> None:
    """From 0x7, b.png is a bit of detail away, c.png two, a.png and robe.png three; a.png's code is nearer. Of codes,
    b.png and a.png are equal to the photo's."""
    photo.write_bytes(png_of(0xFF00, detail=0x7))
    answer = search(detailed_store, colours_path, photo, "--rank", "detail")
    assert answer.out.splitlines() == ["   1  b.png", "   2  c.png", "   3  a.png", "   3  robe.png"]
    answer = search(detailed_store, colours_path, photo, "--rank", "detail", "--max_distance", "0", "--json")
    assert json.loads(answer.out) == {
        "index_database_version": "2.0.0",
        "relevant": ["b.png", "a.png"],
        "distances": [1, 3],
    }


def test_search_tells_how_close_they_are(
    tmp_path: Path, calibrated: TorchScriptEmbedder, calibrated_path: Path, photo: Path
) -> None:
    """0 bits of 16 differ, 8, or 1; of detail, 7 differ."""
    store = IndexStore(tmp_path / "calibrated")
    publish(store, "2.0.0", calibrated, {"a.png": (0xFF00, 0), "b.png": (0xF0F0, 0), "c.png": (0xFF01, 0)}, tmp_path)
    photo.write_bytes(png_of(0xFF00, detail=0x7F))
    near = search(store, calibrated_path, photo)
    heading = f"{calibrated.identity.name}, version 2.0.0: differing bits, closeness, image\n"
    assert (near.out.splitlines(), near.err) == (
        ["   0  1.00  a.png", "   1  0.94  c.png", "   8  0.50  b.png"],
        heading,
    )
    far = search(store, calibrated_path, photo, "--rank", "detail", "--top_k", "1")
    assert (far.out, far.err) == ("   7  0.12  a.png\n", f"{heading}nothing like it was found\n")
    told = json.loads(search(store, calibrated_path, photo, "--rank", "detail", "--top_k", "1", "--json").out)
    assert (told["distances"], told["closeness"], told["nothing_like_it"]) == ([7], [0.125], True)


def test_search_for_a_class(detailed_store: IndexStore, colours_path: Path) -> None:
    answer = search(detailed_store, colours_path, "--text", "ROBE d'été", "--json", "--top_k", "2")
    assert json.loads(answer.out) == {
        "index_database_version": "2.0.0",
        "relevant": ["robe.png", "c.png"],
        "distances": [0, 15],
    }


def test_search_by_words_and_a_photo(tmp_path: Path, photo: Path) -> None:
    """The photo is red, and the pictures (1, 0, 0), (1, 0, 1) and (0, 0, 1) of red, green and blue."""
    path = write_words_model(tmp_path / "words.pt")
    words = TorchScriptEmbedder.load(path)
    for name, colour in {"red.png": "red", "magenta.png": "magenta", "blue.png": "blue"}.items():
        Image.new("RGB", (16, 16), colour).save(tmp_path / name)
    listing = tmp_path / "listing.txt"
    listing.write_text("red.png\nmagenta.png\nblue.png\n")
    store = IndexStore(tmp_path / "index_store")
    build(Request(store, "1.0.0", FolderSource(tmp_path, Listing(listing))), words, lambda _: None)
    Image.new("RGB", (16, 16), "red").save(photo)
    assert search(store, path, "--text", "BLUE").out.splitlines() == [
        "0.0000  blue.png", "0.2929  magenta.png", "1.0000  red.png",
    ]  # fmt: skip
    assert search(store, path, photo, "--text", "blue").out.split()[:2] == ["0.0000", "magenta.png"]
    assert search(store, path, photo, "--text", "blue", "--text_weight", "0.1").out.split()[1] == "red.png"
    assert search(store, path, photo, "--text", "blue", "--negative_text", "red").out.split()[1] == "blue.png"
    assert "the text is too long" in error_line(search(store, path, "--text", "blue " * 9))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "give PHOTO or --embedding FILE, --text WORDS, or both"),
        (("--negative_text", "shirt"), "give PHOTO or --embedding FILE, --text WORDS, or both"),
        (
            ("--text", "shirt", "--rank", "detail"),
            "--rank detail needs PHOTO alone: words and embeddings have no detail code",
        ),
        (("photo.png", "--rank", "near"), "Invalid value for '--rank': 'near' is not one of 'distance', 'detail'."),
    ],
)
def test_search_asks_about_one_thing_in_one_order(
    detailed_store: IndexStore,
    colours_path: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(photo.parent)
    answer = search(detailed_store, colours_path, *arguments)
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == f"Error: {complaint}"


def test_an_unknown_class_is_told_those_that_are(detailed_store: IndexStore, colours_path: Path) -> None:
    line = error_line(search(detailed_store, colours_path, "--text", "trousers"))
    assert line == "Error: 'trousers' is no class of the model; it knows Shirt, robe d'été"


def test_a_model_without_details_and_classes_says_so(store: IndexStore, grid_path: Path, photo: Path) -> None:
    line = error_line(search(store, grid_path, "--text", "shirt"))
    assert line == "Error: 'shirt' is no class of the model; it knows no classes by name"
    line = error_line(search(store, grid_path, photo, "--rank", "detail"))
    assert line == "Error: --rank detail needs detail codes, and version 1.5.0 has none"


# --- Errors


@pytest.mark.parametrize("name", ["missing.png", "."], ids=["missing", "a folder"])
def test_a_photo_that_is_no_file_is_named(
    store: IndexStore, grid_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(store.folder)
    answer = hashlake("search", name, "--model_path", grid_path, "--index_store", store.folder)
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"Error: Invalid value for '[PHOTO]': File '{name}' ")


def test_a_missing_model_is_named(store: IndexStore, photo: Path) -> None:
    missing = photo.parent / "missing.pt"
    expected = f"Error: the model {missing} cannot be read: No such file or directory"
    assert error_line(hashlake("search", photo, "--model_path", missing, "--index_store", store.folder)) == expected
    listing = photo.parent / "1.5.0.txt"
    command = ("--model_path", missing, "--index_store", store.folder, "--new_index_database_version", "2")
    assert error_line(hashlake("index", "--database", listing, *command)) == expected


def test_a_model_that_is_none_is_named(store: IndexStore, photo: Path) -> None:
    answer = hashlake("search", photo, "--model_path", photo, "--index_store", store.folder)
    assert error_line(answer) == "Error: photo.png is not a TorchScript model"


def test_a_missing_store_has_no_version(tmp_path: Path, grid_path: Path, photo: Path) -> None:
    where = tmp_path / "nowhere"
    expected = f"Error: no version is published in {where} yet"
    assert error_line(hashlake("search", photo, "--model_path", grid_path, "--index_store", where)) == expected
    assert hashlake("versions", "list", "--index_store", where).out == f"no version is published in {where}\n"
    assert error_line(hashlake("versions", "rollback", "--index_store", where)).startswith(
        "Error: no version is current"
    )
    assert not where.exists()


@pytest.mark.parametrize("command", [("versions", "verify"), ("versions", "promote")], ids=" ".join)
def test_a_missing_version_is_named_beside_those_there_are(store: IndexStore, command: tuple[str, str]) -> None:
    answer = hashlake(*command, "9.9.9", "--index_store", store.folder)
    assert error_line(answer) == f"Error: {store.folder} has no version 9.9.9 (it has: 1.5.0)"


@pytest.mark.parametrize("name", ["../1.5.0", "CURRENT", ".building"])
def test_a_name_that_no_version_can_have_is_refused(store: IndexStore, grid_path: Path, photo: Path, name: str) -> None:
    search = ("search", photo, "--model_path", grid_path, "--index_database_version", name)
    for command in (search, ("versions", "verify", name), ("versions", "promote", name)):
        line = error_line(hashlake(*command, "--index_store", store.folder))
        assert line.startswith(f"Error: {name!r} cannot be a version's name")


def test_a_damaged_version_is_refused(store: IndexStore, grid_path: Path, photo: Path) -> None:
    index = store.folder / "1.5.0" / "index.faiss"
    index.write_bytes(index.read_bytes()[:-1])
    line = error_line(hashlake("search", photo, "--model_path", grid_path, "--index_store", store.folder))
    assert line.startswith("Error: index.faiss of version 1.5.0 has ")
    assert error_line(hashlake("versions", "verify", "--index_store", store.folder)) == line


def test_an_unknown_command_is_named() -> None:
    answer = hashlake("serach")
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == "Error: No such command 'serach'. Did you mean 'search'?"


def test_without_a_command_it_says_what_to_do_first() -> None:
    answer = hashlake()
    assert (answer.status, answer.err) == (0, "")
    assert "make serve DATALAKE=" in answer.out and "hashlake doctor" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


# --- The installed script, in a process of its own


def test_the_installed_script_is_this_version() -> None:
    done = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"hashlake, version {__version__}\n")


def test_the_installed_script_fails_in_one_line(tmp_path: Path) -> None:
    command: list[str | Path] = [SCRIPT, "versions", "promote", "1.5.0", "--index_store", tmp_path / "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expected = f"Error: {tmp_path / 'nowhere'} has no version 1.5.0 (it has: none)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
