"""``hashlake collections`` and ``hashlake duplicates``, from the words on the command line to what the server has."""

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.hashlake.client.fake_gateway import KEY, SHA256, SHOES, WEB, Fake, Image
from tests.hashlake.client.scripted import Scripted, answer
from tests.hashlake.command import Answer, hashlake

Run = Callable[..., Answer]
BOOT, BOOTEE, CLOG, SANDAL, SUMMER = WEB
MISSING = "https://example.org/missing.jpg"
UPLOADED = "upload:236cf6d16755c17646cf360b786d1a7c"


@pytest.fixture
def run(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``hashlake`` with these words, address and key in the environment, and ``stdin`` as standard input."""
    monkeypatch.setenv("HASHLAKE_URL", url)
    monkeypatch.setenv("HASHLAKE_KEY", KEY)

    def run(*words: str | Path, stdin: str = "") -> Answer:
        with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))):
            return hashlake(*words)

    return run


def said(result: Answer) -> list[str]:
    """The lines of a run that went well and had nothing to complain of."""
    assert (result.status, result.err) == (0, "")
    return result.out.splitlines()


def error(result: Answer) -> str:
    """The one line that is the whole answer of a command that failed."""
    assert (result.status, result.out) == (1, "")
    (line,) = result.err.splitlines()
    return line


def write_lines(path: Path, *lines: object) -> Path:
    """Each as it is, or as JSON."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_a_version_is_built_of_what_is_named(run: Run, fake: Fake) -> None:
    assert said(run("reindex", "1.2.0")) == ["1.2.0 is served; before: 1.1.0"]
    assert said(run("reindex", "1.3.0", "--source", "s3://lake", "--mode", "default")) == ["1.3.0 is served"]
    assert fake.reindexed[1] == {"new_index_database_version": "1.3.0", "source": "s3://lake", "mode": "default"}
    assert error(run("reindex", "1.4.0", "--source", "s3://key:secret@lake")) == "Error: source holds credentials"


def test_jobs_and_what_one_said(run: Run) -> None:
    head, row = (line.split() for line in said(run("jobs")))
    assert head[:4] == ["job", "kind", "state", "phase"]
    assert row == ["3f9c01ab", "reindex", "succeeded", "done", "4,332", "of", "4,332", "2026-11-21", "10:00"]
    assert said(run("jobs", "3f9c01ab")) == ["2026-11-21 10:00:00 reindex 1.2.0", "2026-11-21 10:01:00 succeeded done"]
    assert error(run("jobs", "none")) == "Error: there is no job none"


def test_the_machine_at_a_glance(run: Run, fake: Fake) -> None:
    assert [" ".join(line.split()) for line in said(run("machine"))] == [
        "folder takes free of",
        "index_store 8.0 KiB 5.0 GiB 9.0 GiB",
        "memory: 4.0 GiB of 8.0 GiB free; gateway 110.0 MiB, models unknown; 2 cores",
        "checksums: 2 versions whole, 0 not read yet, read since 2026-11-21 10:00 UTC",
    ]
    fake.damaged = [{"collection": "shoes", "version": "1.1.0", "file": "index.faiss"}]
    answer = run("machine")
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == "damaged: index.faiss of version 1.1.0 of the collection shoes"


class TestCollections:
    def test_list(self, run: Run) -> None:
        lines = [" ".join(line.split()) for line in said(run("collections", "list"))]
        assert lines == [
            "collection images model bits version changes on disk",
            "default 0 relahash-small-64bits 64 0-f0 12 8.0 KiB",
            "shoes 3 relahash-small-64bits 64 0-f0 12 8.0 KiB",
        ]

    def test_an_empty_list(self, run: Run, fake: Fake) -> None:
        fake.collections.clear()
        assert said(run("collections", "list")) == ["there is no collection yet"]

    def test_stats(self, run: Run) -> None:
        assert said(run("collections", "stats", "shoes")) == [
            "collection     shoes",
            "images         3",
            f"model          relahash-small-64bits, 64 bits, sha256 {SHA256[:12]}…",
            "version        0-f0 (of 0, 0-f0)",
            "journal        12 changes, 4.0 KiB",
            "on disk        8.0 KiB",
            "created (UTC)  2026-11-21 10:00:00",
        ]

    def test_create_fold_and_delete(self, run: Run, fake: Fake) -> None:
        created = ["hats is created: codes of 64 bits, model relahash-small-64bits"]
        assert said(run("collections", "create", "hats")) == created
        folded = ["version 0-f1 has 0 images, 3 changes went into it"]
        assert said(run("collections", "fold", "hats")) == folded
        assert said(run("collections", "delete", "hats", "--yes")) == ["hats is deleted"]
        assert list(fake.collections) == ["default", "shoes"]

    def test_one_in_another_engine(self, run: Run) -> None:
        address = "postgresql://me:secret@db/pictures"
        assert said(run("collections", "create", "hats", "--engine", address)) == [
            "hats is created: postgresql://db:5432/pictures, hats, model relahash-small-64bits"
        ]
        adopted = said(run("collections", "create", "socks", "--engine", address, "--place", "old.socks"))
        assert adopted == [
            "socks is adopted with 0 images: postgresql://db:5432/pictures, old.socks, model relahash-small-64bits"
        ]
        by_hnsw = "by hnsw, which found 98.7% of the nearest 10 of 100 images among 3,000 on 2026-11-30"
        assert said(run("collections", "index", "hats", "hnsw")) == [f"hats is searched {by_hnsw}"]
        assert said(run("collections", "stats", "hats"))[3:] == [
            "engine         postgresql://db:5432/pictures",
            "place          hats",
            f"searched       {by_hnsw}",
            "created (UTC)  2026-11-21 10:00:00",
            "tables         3",
            "indexes        one",
            "indexes        other",
        ]
        assert said(run("collections", "index", "hats", "exact")) == ["hats is searched exactly"]
        listed = [" ".join(line.split()) for line in said(run("collections", "list"))]
        assert listed[-1] == "socks 0 relahash-small-64bits 64 postgresql"
        question = "Forget the collection socks? What was adopted, old.socks, stays. [y/N]: "
        assert run("collections", "delete", "socks", stdin="n\n").err.startswith(question)
        assert error(run("collections", "index", "shoes", "hnsw")).endswith("shoes is searched exactly as it is")

    def test_copy(self, run: Run, fake: Fake) -> None:
        said_so = ["spare has the same 3 images as shoes: 3 added, 0 removed, checksum c0ffeec0ffeec0ff"]
        assert said(run("collections", "copy", "shoes", "spare", "--engine", "postgresql://")) == said_so
        assert fake.collections["spare"] == fake.collections["shoes"]

    def test_a_name_moves_from_one_collection_to_another(self, run: Run, fake: Fake) -> None:
        run("collections", "copy", "shoes", "spare")
        assert error(run("collections", "alias", "shoes", "spare")).endswith("what that is called from then on")
        moved = ["shoes is the collection spare now; what it was before is called old"]
        assert said(run("collections", "alias", "shoes", "spare", "--keep", "old", "--catch_up")) == moved
        assert fake.bodies("/api/aliases/shoes")[-1] == {"collection": "spare", "keep": "old", "catch_up": True}
        listed = [" ".join(line.split()) for line in said(run("collections", "list"))]
        assert [line.partition(" relahash")[0] for line in listed[1:]] == ["default 0", "spare, shoes 3", "old 3"]
        assert said(run("collections", "stats", "spare"))[1] == "also called    shoes"
        assert said(run("collections", "count", "shoes")) == ["3"]
        assert said(run("collections", "unalias", "shoes")) == ["shoes is no alias any more"]
        assert error(run("collections", "unalias", "shoes")) == "Error: there is no alias shoes"

    def test_delete_asks(self, run: Run, fake: Fake) -> None:
        question = "Delete the collection shoes and its 3 images for good? [y/N]: "
        refused = run("collections", "delete", "shoes", stdin="n\n")
        assert (refused.status, refused.err.startswith(question)) == (1, True)
        assert "shoes" in fake.collections
        assert run("collections", "delete", "shoes", stdin="y\n").out.endswith("shoes is deleted\n")
        assert "shoes" not in fake.collections


class TestImages:
    def test_add(self, run: Run, fake: Fake) -> None:
        metadata = '{"colour": "grün"}'
        assert said(run("collections", "add", "shoes", CLOG, "clog.jpg", "--metadata", metadata)) == [CLOG, UPLOADED]
        for name in (CLOG, UPLOADED):
            assert fake.collections["shoes"][name] == Image(0xFFFF, {"colour": "grün"})

    def test_what_fails_does_not_stop_the_others(self, run: Run) -> None:
        result = run("collections", "add", "shoes", MISSING, CLOG, "nothing.jpg")
        assert (result.status, result.out) == (1, f"{CLOG}\n")
        assert result.err.splitlines() == [
            f"failed {MISSING}: url: status 404",
            "failed nothing.jpg: url: status 404",
        ]

    def test_remove_and_count(self, run: Run) -> None:
        assert said(run("collections", "remove", "shoes", BOOT)) == [f"{BOOT} is removed"]
        assert said(run("collections", "count", "shoes")) == ["2"]
        assert said(run("collections", "count", "shoes", "--filter", '{"colour": "red"}')) == ["1"]
        assert error(run("collections", "remove", "shoes", BOOT)) == f"Error: the collection shoes has no image {BOOT}"

    def test_search(self, run: Run) -> None:
        lines = [f"100.0  {BOOT}", f" 96.9  {BOOTEE}", f"  0.0  {SANDAL}"]
        assert said(run("collections", "search", "shoes", BOOT)) == lines
        assert said(run("collections", "search", "shoes", "--text", "Boots", "--limit", "2")) == lines[:2]
        assert said(run("collections", "search", "shoes", BOOT, "--filter", '{"colour": "red"}')) == lines[2:]
        assert said(run("collections", "search", "shoes", "clog.jpg", "--limit", "1")) == [f" 53.1  {BOOTEE}"]

    def test_search_tells_how_close_they_are(self, run: Run, fake: Fake) -> None:
        fake.calibrated = True
        words = ("collections", "search", "shoes")
        assert said(run(*words, BOOT, "--max_distance", "1")) == [f"100.0  {BOOT}", f" 98.4  {BOOTEE}"]
        far = run(*words, "clog.jpg", "--limit", "1", "--rank", "detail")
        assert (far.out, far.err) == (f" 76.6  {BOOTEE}\n", "nothing like it was found\n")

    def test_search_as_json(self, run: Run, fake: Fake) -> None:
        fake.collections["shoes"] = {SUMMER: Image(0, {"saison": "été"})}
        (line,) = said(run("collections", "search", "shoes", SUMMER, "--json"))
        assert json.loads(line) == [
            {
                "url": SUMMER,
                "metadata": {"saison": "été"},
                "similarity": 100.0,
                "closeness": None,
                "differing_bits": None,
            }
        ]
        assert "été" in line

    def test_a_word_that_is_no_file_is_an_image_of_the_collection(self, run: Run, fake: Fake) -> None:
        fake.collections["default"] = {"data/a.jpg": Image(0), "upload:00": Image(1)}
        assert said(run("collections", "compare", "default", "data/a.jpg", "upload:00")) == ["96.875"]

    def test_compare(self, run: Run) -> None:
        assert said(run("collections", "compare", "shoes", "clog.jpg", BOOT)) == ["50"]
        assert said(run("collections", "compare", "shoes", BOOT, "clog.jpg")) == ["50"]

    def test_urls(self, run: Run) -> None:
        assert said(run("collections", "urls", "shoes")) == sorted(SHOES)
        assert said(run("collections", "urls", "shoes", "--filter", '{"colour": "red"}')) == [SANDAL]


class TestDuplicates:
    @pytest.fixture(autouse=True)
    def five(self, fake: Fake) -> None:
        """Two groups: 0, 1, 2 and 0xFF00, 0xFF01."""
        for number, code in enumerate((0x0, 0x1, 0x3, 0xFF00, 0xFF01)):
            fake.collections["default"][f"{number}.jpg"] = Image(code)

    def test_groups(self, run: Run) -> None:
        assert said(run("duplicates", "default", "--max_distance", "2")) == [
            "   0  0.jpg",
            "   1  1.jpg",
            "   2  2.jpg",
            "",
            "   0  3.jpg",
            "   1  4.jpg",
        ]
        none = run("duplicates", "default", "--max-distance", "0")
        assert (none.status, none.out, none.err) == (0, "", "no near-duplicates were found\n")

    def test_pairs(self, run: Run) -> None:
        assert said(run("duplicates", "default", "--pairs", "--max_distance", "1")) == [
            "   1  0.jpg  1.jpg",
            "   1  1.jpg  2.jpg",
            "   1  3.jpg  4.jpg",
        ]

    def test_json(self, run: Run) -> None:
        lines = said(run("duplicates", "default", "--max_distance", "1", "--pairs", "--json"))
        assert json.loads(lines[0]) == {"url": "0.jpg", "other": "1.jpg", "distance": 1, "same_file": False}
        lines = said(run("duplicates", "default", "--max_distance", "2", "--json"))
        assert json.loads(lines[1]) == {
            "images": [
                {"url": "3.jpg", "distance": 0, "same_file": False, "metadata": None},
                {"url": "4.jpg", "distance": 1, "same_file": False, "metadata": None},
            ]
        }

    def test_turned(self, run: Run, fake: Fake) -> None:
        """A picture of the web, its code the other way round, and an upload that nobody can fetch."""
        assert error(run("duplicates", "shoes", "--turned")) == "Error: this gateway is too old to find turned copies"
        fake.copies = {"space": "detail", "bits": 64, "max_distance": 1}
        fake.collections["shoes"] = {CLOG: Image(0xFFFF), BOOTEE: Image(1), "upload:00": Image(0xFFFF << 48 | 1)}
        answer = run("duplicates", "shoes", "--turned")
        assert answer.out == f"   1  {CLOG}  upload:00\n"
        assert answer.err == "1 pictures cannot be fetched again: only others were asked about them\n"
        assert run("duplicates", "shoes", "--turned", "--max_distance", "0").out == ""
        asked = fake.bodies("/search")[0]
        assert asked == {"url": BOOTEE, "limit": 16, "rank": "detail", "turned": True}

    def test_codes_where_there_are_no_others(self, run: Run, fake: Fake) -> None:
        fake.copies = {"space": "code", "bits": 64, "max_distance": 2}
        answer = run("duplicates", "default")
        assert answer.err == "the model gives no detail codes: its codes are compared, which tell what is shown\n"
        assert len(answer.out.splitlines()) == 6
        fake.copies = {"space": "detail", "bits": 256, "max_distance": 10}
        assert said(run("duplicates", "default")) == answer.out.splitlines()
        assert "copies         10 of 256 bits of detail may differ" in said(run("collections", "stats", "shoes"))


class TestAddBulk:
    def test_urls_and_objects(self, run: Run, fake: Fake, folder: Path) -> None:
        lines = write_lines(
            folder / "new.jsonl", BOOT, "", {"url": CLOG, "metadata": {"colour": "white"}}, f"  {SUMMER}"
        )
        assert said(run("collections", "add_bulk", "shoes", lines)) == ["2 added, 1 there before, 0 failed"]
        assert fake.collections["shoes"][CLOG] == Image(0xFFFF, {"colour": "white"})
        assert fake.collections["shoes"][SUMMER] == Image(0xFF)

    def test_what_fails_is_told_and_does_not_stop_the_others(self, run: Run, folder: Path) -> None:
        lines = write_lines(
            folder / "new.jsonl", MISSING, "{", {"url": 5}, {"link": CLOG}, '{"url": "a", "metadata": [NaN]}',
            {"url": "a", "metadata": "text"}, CLOG,
        )  # fmt: skip
        result = run("collections", "add-bulk", "shoes", lines)
        assert (result.status, result.out) == (1, "1 added, 0 there before, 6 failed\n")
        assert result.err.splitlines() == [
            "failed line 2: not JSON: Expecting property name enclosed in double quotes at character 2",
            "failed line 3: url: Input should be a valid string",
            "failed line 4: url: Field required",
            "failed line 5: NaN is no number that JSON can say",
            "failed line 6: metadata: Input should be a valid dictionary",
            f"failed {MISSING}: status 404",
        ]

    def test_standard_input(self, run: Run) -> None:
        result = run("collections", "add_bulk", "shoes", "-", stdin=f"\ufeff{CLOG}\n{SUMMER}")
        assert said(result) == ["2 added, 0 there before, 0 failed"]

    def test_a_pipe(self, run: Run, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        writer = threading.Thread(target=(folder / "pipe").write_text, args=[f"{CLOG}\n"])
        writer.start()
        assert said(run("collections", "add_bulk", "shoes", "pipe")) == ["1 added, 0 there before, 0 failed"]
        writer.join()

    def test_a_line_that_the_server_does_not_take_into_a_batch(self, run: Run, folder: Path) -> None:
        long = {"url": CLOG, "metadata": {"text": "x" * 65_536}}
        lines = write_lines(folder / "new.jsonl", *([BOOT, ""] * 300), long)
        assert error(run("collections", "add_bulk", "shoes", lines)) == (
            "Error: line 601: metadata: metadata json too long (the batches before it are added)"
        )

    def test_an_empty_file(self, run: Run, folder: Path) -> None:
        lines = write_lines(folder / "new.jsonl")
        assert said(run("collections", "add_bulk", "shoes", lines)) == ["0 added, 0 there before, 0 failed"]


class TestDumpAndRestore:
    def test_round_trip(self, run: Run, fake: Fake, folder: Path) -> None:
        fake.collections["shoes"]["https://example.org/\u2028 \u0085.jpg"] = Image(2**64 - 1, {"été": [1, 2.5, None]})
        assert said(run("collections", "dump", "shoes", "-o", "shoes.jsonl")) == []
        lines = (folder / "shoes.jsonl").read_bytes().splitlines()
        assert json.loads(lines[0]) == {"url": BOOT, "metadata": {"colour": "black"}, "embedding": "AAAAAAAAAAA="}
        run("collections", "create", "hats")
        assert said(run("collections", "restore", "hats", "shoes.jsonl")) == ["4 images are restored"]
        assert fake.listed("hats") == fake.listed("shoes")

    def test_by_way_of_standard_output_and_input(self, run: Run, fake: Fake) -> None:
        dumped = run("collections", "dump", "shoes", "--filter", '{"colour": "black"}')
        assert [json.loads(line)["url"] for line in said(dumped)] == [BOOT, BOOTEE]
        assert said(run("collections", "restore", "default", "-", stdin=dumped.out)) == ["2 images are restored"]
        assert fake.listed("default") == fake.listed("shoes")[:2]

    def test_a_dump_that_breaks_off_leaves_the_file_as_it_was(self, run: Run, folder: Path) -> None:
        (folder / "shoes.jsonl").write_text("before")
        (folder / "link.jsonl").symlink_to("shoes.jsonl")
        page = json.dumps([{"url": BOOT, "metadata": None, "embedding": "AAAAAAAAAAA="}]).encode()
        answers = answer("200 OK", b"2"), answer("200 OK", page), answer("503 Service Unavailable")
        with Scripted(*answers) as server:
            result = run("collections", "dump", "shoes", "-o", "link.jsonl", "--url", server.url)
        assert error(result) == "Error: the server answered with status 503 Service Unavailable"
        assert (folder / "shoes.jsonl").read_text() == "before"
        assert sorted(path.name for path in folder.iterdir()) == ["clog.jpg", "link.jsonl", "shoes.jsonl"]

    def test_a_dump_replaces_what_a_link_leads_to(self, run: Run, folder: Path) -> None:
        (folder / "shoes.jsonl").write_text("before")
        (folder / "link.jsonl").symlink_to("shoes.jsonl")
        said(run("collections", "dump", "shoes", "--output", "link.jsonl"))
        assert (folder / "link.jsonl").is_symlink()
        assert len((folder / "shoes.jsonl").read_text().splitlines()) == 3

    def test_a_dump_into_what_is_no_file(self, run: Run, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        assert error(run("collections", "dump", "shoes", "-o", "pipe")) == (
            f"Error: {folder / 'pipe'} is no regular file"
        )
        line = error(run("collections", "dump", "shoes", "-o", "missing/shoes.jsonl"))
        assert line.endswith("shoes.jsonl." + line.rsplit(".", 2)[1] + ".part: No such file or directory")

    @pytest.mark.parametrize(
        ("bad", "complaint"),
        [
            ("{", "not JSON: Expecting property name enclosed in double quotes at character 2"),
            ("https://example.org/boot.jpg", "not JSON: Expecting value at character 1"),
            ("[]", "no JSON object"),
            ({"url": "bad"}, "embedding: Field required"),
            ({"url": "bad", "embedding": {}}, "embedding: Input should be a valid string"),
            ({"url": "bad", "embedding": "AAAA"}, "embedding: has 24 bits, and the collection's codes have 64"),
            ('{"url": "bad", "embedding": [1e999]}', "1e999 is no number that JSON can say"),
        ],
    )
    def test_a_bad_line_is_named_and_nothing_of_its_batch_is_restored(
        self, bad: object, complaint: str, run: Run, fake: Fake, folder: Path
    ) -> None:
        good = [{"url": f"{number:05d}", "embedding": "AAAAAAAAAAA="} for number in range(16_390)]
        lines = write_lines(folder / "dump.jsonl", *good[:10], "", *good[10:], bad, {"url": "z", "embedding": "00"})
        assert error(run("collections", "restore", "default", lines)) == (
            f"Error: line 16,392: {complaint} (16,384 images before it are restored)"
        )
        assert len(fake.collections["default"]) == 16_384

    def test_bytes_that_are_no_text(self, run: Run, folder: Path) -> None:
        (folder / "dump.jsonl").write_bytes(b"\n\xff\n")
        assert error(run("collections", "restore", "default", "dump.jsonl")) == (
            "Error: line 2: not UTF-8 (0 images before it are restored)"
        )

    def test_into_a_collection_that_is_not_there(self, run: Run, folder: Path) -> None:
        lines = write_lines(folder / "dump.jsonl", {"url": "a", "embedding": "AAAAAAAAAAA="})
        assert error(run("collections", "restore", "hats", lines)) == (
            "Error: model_name: there is no collection hats (0 images before it are restored)"
        )


class TestErrors:
    def test_nothing_listens(self, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        line = error(run("collections", "count", "shoes", "--url", url))
        assert line == f"Error: {url} cannot be reached: [Errno 111] Connection refused"

    def test_a_wrong_key(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HASHLAKE_KEY", "hlk_wrong")
        for words in (["count", "shoes"], ["add", "shoes", BOOT, CLOG]):
            assert error(run("collections", *words)) == "Error: this takes an API key"

    def test_another_server(self, run: Run) -> None:
        with Scripted(answer("200 OK", b"<html>")) as server:
            line = error(run("collections", "count", "shoes", "--url", server.url))
        assert line.startswith(f"Error: {server.url} doesn't answer as a gateway does: ")

    def test_a_collection_that_is_not_there(self, run: Run) -> None:
        assert error(run("collections", "stats", "hats")) == "Error: there is no collection hats"
        assert error(run("duplicates", "hats")) == "Error: there is no collection hats"

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["search", "shoes"], "give URL|FILE or --embedding FILE, --text WORDS, or both"),
            (["count", "shoes", "--filter", "{"], "Invalid value for '--filter': not JSON: Expecting property name"),
            (["add", "shoes", BOOT, "--metadata", "[NaN]"], "Invalid value for '--metadata': NaN is no number"),
            (["count", ".."], "Invalid value for 'NAME': '..' is no collection's name"),
            (["count", "shoes", "--url", "localhost:8000"], "Invalid value for '--url': 'localhost:8000' is no URL"),
            (["restore", "shoes", "missing.jsonl"], "Invalid value for 'FILE': 'missing.jsonl': No such file"),
            (["add", "shoes"], "Missing argument 'URL|FILE...'"),
        ],
    )
    def test_bad_usage(self, words: list[str], complaint: str, run: Run, fake: Fake) -> None:
        result = run("collections", *words)
        assert (result.status, result.out) == (2, "")
        assert result.err.splitlines()[-1].startswith(f"Error: {complaint}")
        assert fake.asked == []

    def test_a_key_that_is_none(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HASHLAKE_KEY", "schlüssel")
        result = run("collections", "list")
        assert result.status == 2
        assert result.err.splitlines()[-1].endswith("the key has characters that no key has")

    def test_no_key_is_no_header(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HASHLAKE_KEY", "")
        assert error(run("collections", "list")) == "Error: this takes an API key"
