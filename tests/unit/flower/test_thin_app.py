import io
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from veilscore.coordinator import server_app
from veilscore.node import client_app
from veilscore.runtime.flower.thin_app import thin_app

PUBLISHED = Path(__file__).parents[3] / "deploy" / "flower"


def test_the_app_holds_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(thin_app())) as bundle:
        assert sorted(bundle.namelist()) == [".info/CONTENT", "pyproject.toml"]


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_anybody_can_rebuild_it_from_the_published_file() -> None:
    assert build_fab_from_disk(PUBLISHED) == thin_app()


def test_it_names_the_installed_apps() -> None:
    with zipfile.ZipFile(io.BytesIO(thin_app())) as bundle:
        text = bundle.read("pyproject.toml").decode()
    assert f'serverapp = "{server_app.__name__}:app"' in text
    assert f'clientapp = "{client_app.__name__}:app"' in text
