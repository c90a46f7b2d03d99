"""`x-dcp.cluster` of the whole file."""

from pathlib import Path

from dcp.compose import read


def test_an_application_names_its_cluster(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    services = "services: {web: {command: serve, deploy: {resources: {limits: {cpus: '0.1', memory: 32M}}}}}\n"
    for head, cluster in (("", ""), ("x-dcp: {}\n", ""), ("x-dcp: {cluster: news}\n", "news")):
        file.write_text(head + services)
        assert read(file, environment={}, name="shop").spec.cluster == cluster
