"""What is installed: every module of the program and what it reads, wherever the command is then called from."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def setup():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup


def test_every_module_and_package_is_installed(setup):
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert set(setup["options"]["py_modules"].split()) == modules
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(setup["options.packages.find"]["include"].split()) == {f"{name}*" for name in packages}


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs git and a checkout")
def test_every_other_file_of_a_package_is_installed(setup):
    packages = [pattern.removesuffix("*") for pattern in setup["options.packages.find"]["include"].split()]
    tracked = subprocess.run(["git", "ls-files", "-z", *packages], cwd=ROOT, capture_output=True, text=True, check=True)
    others = {Path(name) for name in tracked.stdout.split("\0")[:-1] if not name.endswith(".py")}
    installed = {path.relative_to(ROOT) for package, patterns in setup["options.package_data"].items()
                 for pattern in patterns.split() for path in (ROOT / package.replace(".", "/")).glob(pattern)}
    assert Path("data/mnist.npz") in others
    assert others - installed == set()
