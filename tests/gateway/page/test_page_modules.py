"""Modules of the page that need no browser, run by Node: what they write for shells, archives and readers."""

import ast
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[3] / "gateway" / "page"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")


def ran(modules: str, script: str, *given: object) -> Any:
    """What ``script`` returns, given ``given`` and all that ``modules`` export."""
    program = f"""
        Object.defineProperty(globalThis, "navigator", {{ value: {{ languages: ["de-CH"] }}, configurable: true }});
        const page = {{}};
        for (const name of {json.dumps(modules.split())}) {{
            Object.assign(page, await import({json.dumps(PAGE.as_uri())} + "/" + name + ".js"));
        }}
        const given = {json.dumps(given)};
        console.log(JSON.stringify(await (async () => {{ {script} }})()));
    """
    assert NODE is not None
    done = subprocess.run([NODE, "--input-type=module", "-e", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True, scope="module")
def _modules(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page as modules: by its files' names alone, Node takes them for older scripts."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "PAGE", folder)
        yield


def test_a_command_names_one_file_whatever_its_name() -> None:
    names = ["a.jpg", "a;type=b, c.jpg", 'it\'s "é" \\.jpg', "$(x) `y`.jpg"]
    script = "return given[0].map((image) => page.asCurl({ image, path: `-x;${image}` }, 'http://e.org/lake/', false))"
    commands = ran("answer_files", script, names)
    assert commands[0] == "curl -F image=@a.jpg --form-string 'path=-x;a.jpg' http://e.org/lake/api/search"
    for name, command in zip(names[1:], commands[1:], strict=True):
        shell = command.replace("curl", r"printf '%s\n'", 1)
        words = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        file = f'"{escaped}"' if any(sign in name for sign in ';,"\\') else name
        assert words == ["-F", f"image=@{file}", "--form-string", f"path=-x;{name}", "http://e.org/lake/api/search"]


def test_a_key_comes_from_the_environment() -> None:
    asked = {"image": 'é"\\.jpg', "text": "`"}
    script = "return [page.asCurl, page.asPython].map((as) => as(given[0], 'http://e.org/', true))"
    curl, python = ran("answer_files", script, asked)
    assert curl.startswith('curl -H "X-API-Key: $HASHLAKE_KEY" -F ')
    post = next(each for each in ast.walk(ast.parse(python)) if isinstance(each, ast.Call))
    told = {each.arg: ast.unparse(each.value) for each in post.keywords}
    assert told["headers"] == "{'X-API-Key': os.environ['HASHLAKE_KEY']}"
    assert ast.literal_eval(told["data"]) == {"text": "`"}
    assert told["files"] == "{'image': open('é\"\\\\.jpg', 'rb')}"


def test_names_in_an_archive() -> None:
    paths = [
        "a/b.jpg", "a//./b.jpg", "A/B.JPG", "../../etc/x", "..", "http://e.org:80/a?b=1", "C:\\d\\ה.jpg", "t/.x",
        "t/.x",
    ]  # fmt: skip
    assert ran("take_away", "const name = page.entryNames(); return given[0].map(name)", paths) == [
        "a/b.jpg", "a/b (2).jpg", "A/B (3).JPG", "etc/x", "picture", "e.org_80/a_b=1", "C_/d/ה.jpg", "t/.x", "t/ (2).x",
    ]  # fmt: skip


def test_an_archive_too_large_for_its_numbers_is_refused() -> None:
    script = """
        const blob = { size: 2 ** 31, arrayBuffer: () => new ArrayBuffer(1) };
        return page.zip([{ name: "a", blob }, { name: "b", blob }]).then(() => "", (error) => error.message);
    """
    assert ran("zip", script) == "the pictures have more than 4 GiB together: select fewer"


def test_a_filter_from_a_link_may_be_anything() -> None:
    given = ["", "null", "5", "[1]", "x", '{"a": 1, "b": "é"}', '{"a": {"$lt": 5}}', '{"$or": 1}']
    assert ran("filter_chips", "return given[0].map(page.equalities)", given) == [
        {}, None, None, None, None, {"a": 1, "b": "é"}, None, None,
    ]  # fmt: skip


def test_names_are_no_numbers_for_translation() -> None:
    texts = [
        "3 of 12", "tower of london", "1.448 pictures", "two pictures", "Adding pictures: 3 of 10", "Removing a of b",
    ]  # fmt: skip
    script = "const t = page.translator(page.words); return [page.language, ...given[0].map(t)]"
    assert ran("language words_de", script, texts) == [
        "de", "3 von 12", None, "1.448 Bilder", None, "Bilder werden hinzugefügt: 3 von 10", "a of b wird entfernt",
    ]  # fmt: skip


def test_german_has_no_text_twice_and_as_many_places_as_english() -> None:
    texts = ran("words_de", "return Object.entries(page.words)")
    for english, german in texts:
        assert german.count("{}") == sum(english.count(place) for place in ("{}", "{#}", "{+}")), english


def test_a_browser_that_keeps_nothing_keeps_it_until_the_page_is_left() -> None:
    script = """
        Object.defineProperty(globalThis, "sessionStorage", { get() { throw new Error("blocked"); } });
        const text = page.kept("sessionStorage", "name");
        const before = text.get();
        text.keep("a");
        const after = text.get();
        text.forget();
        return [before, after, text.get()];
    """
    assert ran("kept", script) == [None, "a", None]


def test_the_oldest_searches_make_room_where_there_is_none() -> None:
    """A browser whose room is for four records, and whose transactions fail at their end."""
    script = """
        const kept = new Map();
        const soon = (call) => setTimeout(call, 0);
        const asStore = (undo) => ({
            put(record) {
                kept.set(record.hash, record);
                undo(() => kept.delete(record.hash));
                return { result: record.hash };
            },
            delete: (hash) => (kept.delete(hash), {}),
            getAll: () => ({ result: [...kept.values()] }),
        });
        const transaction = () => {
            let undoing = () => {};
            const made = { objectStore: () => asStore((undo) => (undoing = undo)) };
            soon(() => {
                if (kept.size <= 4) made.oncomplete();
                else { undoing(); made.onabort(); }
            });
            return made;
        };
        globalThis.indexedDB = {
            open() {
                const request = { result: { transaction } };
                soon(() => request.onsuccess());
                return request;
            },
        };
        await page.keepSearch({ hash: "#0", at: 0 });
        await page.nameSearch("#0", "the first");
        for (const at of [1, 2, 3, 4, 5, 6]) await page.keepSearch({ hash: `#${at}`, at });
        const named = await page.namedSearches();
        return [(await page.recentSearches()).map(({ at }) => at), named.map(({ hash, name }) => [hash, name])];
    """
    assert ran("recent_searches", script) == [[6, 5], [["#0", "the first"]]]


def test_without_a_database_nothing_is_kept() -> None:
    script = """
        await page.keepSearch({ hash: "#", at: 1 });
        return [await page.recentSearches(), await page.recentQuery("#"), await page.nameSearch("#", "never")];
    """
    assert ran("recent_searches", script) == [[], None, False]
