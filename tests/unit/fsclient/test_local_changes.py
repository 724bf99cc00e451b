"""The watch of a local folder: what it reports when the folder itself changes."""

import shutil
import threading

import pytest

from fsclient.operations.watch.local import LocalChanges
from fsclient.operations.watch.news import News
from fsclient.transfer.filters import Filters

WITHIN_S = 60.0


@pytest.fixture
def watched(tmp_path):
    """A folder, the news about it, and the thread that watches it."""
    top, news = tmp_path / "top", News()
    failures: list[str] = []
    top.mkdir()
    changes = LocalChanges(top, Filters(), news, failures.append)
    changes.start()
    for number in range(1000):  # until it is watched
        (top / "file").write_text(str(number))
        if news.wait(0.2):
            break
    yield top, news
    changes.stop()
    for thread in threading.enumerate():
        if thread.name == "local changes":
            thread.join()
    assert not failures


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_folder_that_is_gone_or_another_one_is_news(watched, how):
    top, news = watched
    news.settle(2.5, WITHIN_S)
    news.clear()
    if how == "removed":
        shutil.rmtree(top)
    else:
        top.rename(top.with_name("away"))
        if how == "replaced":
            top.mkdir()
    assert news.wait(WITHIN_S)


def test_a_folder_that_comes_back_is_news(watched):
    top, news = watched
    shutil.rmtree(top)
    assert news.wait(WITHIN_S)
    news.settle(2.5, WITHIN_S)
    news.clear()
    top.mkdir()
    assert news.wait(WITHIN_S)
