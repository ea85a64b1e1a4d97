"""What is installed: every module of the program, wherever the command is then called from."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_module_and_package_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert set(setup["options"]["py_modules"].split()) == modules
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(setup["options.packages.find"]["include"].split()) == {f"{name}*" for name in packages}
