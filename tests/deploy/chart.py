"""The Helm chart as Helm renders it, and where things are in what comes out."""

from typing import Any

import helm_python
import yaml

from tests.deploy.project import CHART

Values = dict[str, Any]
Document = dict[str, Any]


def render(values: Values) -> list[Document]:
    """What `helm template demo deploy/helm/hashlake --namespace prod` gives."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="demo", namespace="prod")
    return [
        document
        for name, text in rendered.items()
        if not name.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def only(documents: list[Document], kind: str, name: str = "demo-hashlake") -> Document:
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def environment(container: Document) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", [])}


def server(documents: list[Document]) -> dict[str, Document]:
    """The Deployment's containers by name."""
    return {each["name"]: each for each in only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]}
