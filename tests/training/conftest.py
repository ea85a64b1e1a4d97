import pytest

from training import chunks


@pytest.fixture
def many_chunks(monkeypatch):
    """Batches of a hundred rows then are cut into a dozen chunks."""
    monkeypatch.setattr(chunks, "CHUNK", 100)
    monkeypatch.setattr(chunks, "ROWS", 1)
