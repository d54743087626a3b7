"""No file imports itself by way of others, lazy imports included."""

from graphlib import CycleError, TopologicalSorter

import grimp

ROOMS = (
    "contract", "pictures", "sources", "embedding", "detection", "searcher", "indexer", "elements", "handler",
    "gateway", "training", "hashlake",
)  # fmt: skip


def circle(graph: grimp.ImportGraph) -> list[str]:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_is_in_a_circle() -> None:
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    assert len(graph.modules) > 200
    assert circle(graph) == []


def test_a_circle_would_be_found() -> None:
    graph = grimp.ImportGraph()
    graph.add_import(importer="a", imported="b")
    graph.add_import(importer="b", imported="a")
    assert set(circle(graph)) == {"a", "b"}
