import io
import os
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from training import CheckpointError, checkpoint, read_checkpoint, write_checkpoint

ARRAYS = {"U": np.arange(12.0, dtype=np.float32).reshape(3, 4), "optimizer.m.U": np.full((3, 4), 1e-40),
          "empty": np.zeros((0, 2))}
META = {"config": {"p": 97, "xi": 0.35, "batch_size": None}, "step": 500}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The bytes of a checkpoint, and a place where damaged ones are put."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    write_checkpoint(path, ARRAYS, META)
    return path.read_bytes(), path.with_name("damaged.npz")


class TestRoundTrip:
    @given(arrays_of.arrays(st.sampled_from([np.float32, np.float64, np.int64]), arrays_of.array_shapes(min_dims=0)),
           st.integers(0, 10 ** 9))
    def test_keeps_every_bit_type_and_shape(self, tmp_path_factory, array, step):
        path = tmp_path_factory.getbasetemp() / "round_trip.npz"
        write_checkpoint(path, {"W": array}, {"step": step})
        arrays, meta = read_checkpoint(path)
        assert list(arrays) == ["W"]
        assert (arrays["W"].dtype, arrays["W"].shape) == (array.dtype, array.shape)
        assert arrays["W"].tobytes() == array.tobytes()
        assert meta["step"] == step

    def test_keeps_names_and_settings(self, tmp_path):
        write_checkpoint(tmp_path / "checkpoint.npz", ARRAYS, META)
        arrays, meta = read_checkpoint(tmp_path / "checkpoint.npz")
        assert arrays.keys() == ARRAYS.keys()
        assert {name: meta[name] for name in META} == META

    def test_file_is_an_archive_that_numpy_reads_by_itself(self, intact):
        with np.load(io.BytesIO(intact[0]), allow_pickle=False) as archive:
            np.testing.assert_array_equal(archive["U"], ARRAYS["U"])


def regions(content):
    """Positions in every part of a zip file: headers, names, data, the central directory, its end, the digest."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    starts = [info.header_offset for info in archive.infolist()]
    end = content.rindex(b"PK\x05\x06")
    parts = [*starts, archive.start_dir, end, end + 22, len(content)]
    return sorted({position for start, stop in pairwise(parts)
                   for position in (start, start + 1, start + 14, start + 30, (start + stop) // 2, stop - 1)
                   if start <= position < stop})


class TestDamage:
    def refused(self, intact, content, reason):
        path = intact[1]
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=reason) as refusal:
            read_checkpoint(path)
        assert str(path) in str(refusal.value)

    @given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
    def test_of_any_byte_is_seen(self, intact, where, change):
        content = bytearray(intact[0])
        content[int(where * len(content))] ^= change
        self.refused(intact, bytes(content), "damaged|not a checkpoint")

    def test_of_a_byte_in_any_part_of_the_file_is_seen(self, intact):
        positions = regions(intact[0])
        assert len(positions) > 30
        for position in positions:
            content = bytearray(intact[0])
            content[position] ^= 0x20  # in the digest this would only turn a letter into a capital
            self.refused(intact, bytes(content), "damaged|not a checkpoint")

    @given(st.floats(0, 1, exclude_max=True))
    def test_by_a_missing_end_is_seen(self, intact, share):
        self.refused(intact, intact[0][:int(share * len(intact[0]))], "damaged|not a checkpoint")

    @pytest.mark.parametrize("length", [0, 1, 63, 64, 65])
    def test_that_leaves_hardly_anything_is_seen(self, intact, length):
        self.refused(intact, intact[0][:length], "not a checkpoint|damaged")
        self.refused(intact, intact[0][-length:] if length else b"", "not a checkpoint")

    def test_by_the_missing_last_byte_is_seen(self, intact):
        self.refused(intact, intact[0][:-1], "damaged")

    def test_by_something_added_is_seen(self, intact):
        self.refused(intact, intact[0] + b"0", "damaged")

    def test_by_exchange_with_another_archive_is_seen(self, intact):
        other = io.BytesIO()
        np.savez(other, U=ARRAYS["U"])
        self.refused(intact, other.getvalue(), "damaged")

    def test_shows_before_anything_is_parsed(self, intact, monkeypatch):
        monkeypatch.setattr(np, "load", lambda *arguments, **options: pytest.fail("parsed"))
        self.refused(intact, intact[0][:-1] + b"-", "damaged")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.npz: cannot be read \(No such file"):
        read_checkpoint(tmp_path / "none.npz")


def test_another_format_is_named_beside_the_one_that_is_read(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        write_checkpoint(path, ARRAYS, META)
    with pytest.raises(CheckpointError, match="has format 2, this program reads format 1"):
        read_checkpoint(path)


class Mine:
    """What a pickle would run on loading."""

    loaded = False

    def __reduce__(self):
        return setattr, (Mine, "loaded", True)


def test_objects_never_come_out_of_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.npz"
    try:
        write_checkpoint(path, {"W": np.array([Mine()], dtype=object)}, META)
    except (ValueError, CheckpointError):
        assert not path.exists()
        return
    with pytest.raises((ValueError, CheckpointError)):
        read_checkpoint(path)
    assert not Mine.loaded


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_checkpoint_readable(tmp_path, call, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, ARRAYS, META)

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"Input/output error.*checkpoint\.npz"):
        write_checkpoint(path, {"U": np.zeros(1)}, {"step": 501})
    arrays, meta = read_checkpoint(path)
    np.testing.assert_array_equal(arrays["U"], ARRAYS["U"])
    assert meta["step"] == 500
