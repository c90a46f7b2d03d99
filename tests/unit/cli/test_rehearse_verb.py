"""`dcp rehearse`: a surge is played on what runs now, and nothing is written."""

from collections.abc import Iterator

import pytest
from cli_world import Dcp, served

FILE = """
name: page
services:
  feed:
    command: [serve]
    deploy: {resources: {limits: {cpus: "0.2", memory: 64M}}}
    x-dcp:
      elastic: {min: 1, max: 6}
      capacity: {units_per_s: 400, requests_per_s: 100}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dcp]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.yaml").write_text(FILE)
    with served(folder) as command:
        result = command("apply", str(folder / "page.yaml"))
        assert result.exit_code == 0, result.output
        yield command


def test_without_load_there_is_nothing_to_multiply(page: Dcp) -> None:
    refused = page("rehearse", "feed=6x")
    assert refused.exit_code == 1, refused.output
    assert "nothing arrives at feed now" in refused.output


@pytest.mark.parametrize("words", [["feed"], ["feed=6"], ["nobody=6x"], ["feed=1x"], ["feed=6x", "--for", "3h"]])
def test_what_cannot_be_played_is_refused(page: Dcp, words: list[str]) -> None:
    assert page("rehearse", *words).exit_code == 2
