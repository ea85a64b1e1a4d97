"""The IMDb movie reviews, from the folder that their archive unpacks to. They are not part of the project.

    aclImdb/train/pos/*.txt     aclImdb/train/neg/*.txt     aclImdb/test/pos/*.txt     aclImdb/test/neg/*.txt

The seed draws which reviews are trained on and tested on: as many positive as negative ones (of an odd number one more
positive), from the names in alphabetical order.

References
----------
Maas et al., "Learning word vectors for sentiment analysis" (ACL 2011).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import streams
from data.dataset import Problem
from data.text import LABELS, text_problem

FOLDERS = dict(zip(LABELS, ("neg", "pos"), strict=True))


def imdb_problem(folder: Path | str, train_size: int = 750, test_size: int = 250, words: int = 1000, tokens: int = 500,
                 xi: float = 0.0, seed: int = 0) -> Problem:
    """Movie reviews, the labels of the training set corrupted.

    The sizes by default are those of Omnigrok's code (Liu et al., arXiv 2210.01117), which leaves out stop words. Here
    they are kept: "not" is one of them.

    Parameters
    ----------
    folder : path
        aclImdb.
    train_size, test_size : int
        The reviews to train on, and those to test on.
    words : int
        V, the most frequent words of the training reviews.
    tokens : int
        T, the words of a row.
    xi : float
        The fraction of training labels that are redrawn, in [0, 1].
    seed : int
        Of the choice of reviews and of the corruption.

    Returns
    -------
    Problem
        Inputs are int64 rows (D, tokens) of the numbers 0 ... words.

    Raises
    ------
    FileNotFoundError
        If a folder is missing, or has too few reviews.
    """
    check_folder(folder)
    sets = (_read(Path(folder) / name, size, seed) for name, size in (("train", train_size), ("test", test_size)))
    return text_problem(*sets, words, tokens, xi, seed)


def check_folder(folder: Path | str) -> None:
    """Look whether the folders of the data set are there.

    Raises
    ------
    FileNotFoundError
        For the first that is missing.
    """
    for where in (Path(folder) / part / kind for part in ("train", "test") for kind in FOLDERS.values()):
        if not where.is_dir():
            raise FileNotFoundError(f"{where}: there is no such folder; the reviews must lie in train/pos, train/neg, "
                                    "test/pos and test/neg of the folder that is given")


def _read(folder: Path, size: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Reviews of both kinds in a drawn order, and their labels."""
    rng = streams.generator(seed, streams.SPLIT, streams.number_of(f"imdb {folder.name}"))
    texts = []
    for label, needed in enumerate((size // 2, size - size // 2)):
        where = folder / FOLDERS[LABELS[label]]
        paths = sorted(where.glob("*.txt"))
        if len(paths) < needed:
            raise FileNotFoundError(f"{where}: must have at least {needed} reviews (*.txt), got {len(paths)}")
        chosen = rng.permutation(len(paths))[:needed]
        texts += [(paths[index].read_text(encoding="utf-8"), label) for index in chosen]
    drawn = [texts[index] for index in rng.permutation(size)]
    return [text for text, _ in drawn], np.array([label for _, label in drawn], dtype=np.int64)
