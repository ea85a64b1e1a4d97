"""What is in the file of a page, read without a browser."""

import base64
import json
import re
import zlib

import numpy as np


def block(page, name):
    """The text of the script element of this id."""
    return re.search(f'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def values_of(page):
    return json.loads(block(page, "page-values"))


def arrays_of(page):
    data = zlib.decompress(base64.b64decode(block(page, "page-block")))
    return {name: np.frombuffer(data, np.dtype(kind).newbyteorder("<"), int(np.prod(shape)), first).reshape(shape)
            for name, kind, shape, first in json.loads(block(page, "page-index"))}
