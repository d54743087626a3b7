"""docs/examples/postgres-text-search.md does what it says, with a real bucket, a real PostgreSQL and the real stack."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.fakes import png_of
from tests.gateway.stack import Stack
from tests.postgres import PASSWORD, PostgresServer
from tests.sources.s3_server import SECRET, S3Server, set_credentials

PAGE = Path(__file__).parents[2] / "docs" / "examples" / "postgres-text-search.md"
BUCKET = "ovhcloud"
#: Red, green and blue; and something that is no picture.
OBJECTS = {
    "r&d/red.png": png_of(0xFFFF, detail=0), "green.png": png_of(0, detail=0xFFFF0000),
    "blue.png": png_of(0, detail=0x0000FFFF), "torn.png": b"\x89PNG\r\n\x1a\n", "notes.txt": b"?",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(postgres: PostgresServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Served as in step 1, with another port and a model of three words."""
    with pytest.MonkeyPatch.context() as environment:
        set_credentials(environment, s3.url)
        environment.setenv("S3_BUCKET_NAME", BUCKET)
        environment.setenv("PG_SERVICE_URI", postgres.database())
        bucket = s3.bucket(BUCKET)
        for key, content in OBJECTS.items():
            s3.put(bucket, key, content)
        with Stack(tmp_path_factory.mktemp("stack"), {"data/a.png": 0}, "words.pt", source="s3://") as running:
            yield running


def run(command: str, stack: Stack) -> str:
    """What ``command`` of the page prints."""
    python = str(Path(sys.executable).parent)
    variables = os.environ | {
        "PATH": f"{python}:{os.environ['PATH']}", "MODEL": str(stack.models / "words.pt"), "HASHLAKE_URL": stack.url,
        "HASHLAKE_KEY": stack.admin_key, "HASHLAKE_INDEX_STORE": str(stack.store.folder),
    }  # fmt: skip
    done = subprocess.run(["bash", "-c", command], env=variables, cwd=stack.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_page_does_what_it_says(stack: Stack) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("PG_SERVICE_URI", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_BUCKET_NAME"):
        assert f"{name}=" in text
    create, watch, search, form, stats = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    assert "pictures is created: postgresql://" in run(create, stack)
    filled = run(watch, stack)
    assert "pictures: 4 listed, 3 added, 0 removed, 1 failed (1 altogether)" in filled
    again = run(watch, stack)
    assert "pictures: 4 listed, 0 added, 0 removed, 0 failed (1 altogether)" in again

    found = run(search, stack).splitlines()
    assert found[0].endswith("  s3://ovhcloud/r&d/red.png") and len(found) == 2
    fragment = run(form, stack)
    assert fragment.startswith('<div id="images"><p>Image 1: s3://ovhcloud/r&amp;d/red.png</p><img src="http://')
    assert fragment.count("<img ") == 3
    (link, *_) = re.findall(r'<img src="([^"]*)">', fragment)
    picture = httpx.get(link.replace("&amp;", "&"), trust_env=False, timeout=60)
    assert picture.content == OBJECTS["r&d/red.png"]
    said = run(stats, stack)
    for line in ("images         3", "tables         1", "average length of embedding 1.0", "extensions     vector 0."):
        assert line in said
    everything = stack.logs().decode(errors="replace") + filled + again + fragment + said
    assert PASSWORD not in everything and SECRET not in everything


def test_a_table_that_the_scripts_filled_goes_on(stack: Stack) -> None:
    rename = re.search(r"^UPDATE .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rename is not None
    with psycopg.connect(os.environ["PG_SERVICE_URI"], autocommit=True) as connection:
        connection.execute("CREATE TABLE old (filename text PRIMARY KEY, embedding vector(3))")
        connection.execute("INSERT INTO old VALUES ('green.png', '[0,1,0]')")
        connection.execute(rename.group().replace("pictures", "old"))  # type: ignore[arg-type]
    assert "old is adopted with 1 images" in run("hashlake collections create old --engine postgresql://", stack)
    run('hashlake watch s3:// --collection old --once --model_path "$MODEL"', stack)
    found = stack.call("POST", "/models/old/search", json={"text": "green"}).json()
    names = sorted(each["url"] for each in found)
    assert names == [f"s3://ovhcloud/{key}" for key in ("blue.png", "green.png", "r&d/red.png")]
    assert found[0]["url"] == "s3://ovhcloud/green.png"


def test_errors_are_errors(stack: Stack, postgres: PostgresServer) -> None:
    assert stack.call("POST", "/search_form", data={}).status_code == 422
    unknown = stack.call("POST", "/search_form", data={"search_text": "red " * 20})
    assert unknown.status_code == 400
    postgres.stop()
    try:
        lost = stack.call("POST", "/search_form", data={"search_text": "red"})
    finally:
        postgres.start()
    assert lost.status_code == 503
    assert re.fullmatch(rf"postgresql://{postgres.socket}/test\d+ cannot be reached", lost.json()["message"])
    assert stack.call("POST", "/search_form", data={"search_text": "red"}).status_code == 200
