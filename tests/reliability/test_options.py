"""Values of options: each is accepted or refused, and nothing is in between."""

import math
import shutil
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import grok
from tests.reliability.runs import run

MANY = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What is allowed, said again and independently of the program: the least and the greatest whole number, for p 11 and
# alpha 0.5 (60 training examples); and for real numbers a condition.
WHOLE = {"--p": (2, 46_340), "--width": (1, 10 ** 6), "--depth": (2, 1000), "--heads": (1, 8),
         "--batch-size": (1, 60), "--steps": (1, math.inf), "--eval-every": (1, math.inf), "--seed": (0, math.inf),
         "--threads": (1, math.inf), "--checkpoint-every": (1, math.inf), "--snapshots": (2, math.inf)}
REAL = {"--alpha": lambda x: 1 / 121 <= x <= 1, "--xi": lambda x: 0 <= x <= 1, "--dropout": lambda x: 0 <= x < 1,
        "--lr": lambda x: 0 < x < math.inf, "--weight-decay": lambda x: 0 <= x < math.inf}
WORDS = {"--operation": ("add", "subtract", "multiply", "divide"), "--model": ("mlp", "relu-mlp", "transformer"),
         "--activation": ("square", "relu", "gelu"), "--loss": ("mse", "cross-entropy"),
         "--optimizer": ("adamw", "adam", "sgd"), "--backend": ("numpy",), "--dtype": ("float32", "float64")}

no_number = st.sampled_from(["", "many", "1,5", "0x10", "1e", "--", "one two", "1/2", "None", "True", "[1]"])
whole = st.one_of(st.integers(-3, 130), st.integers(-10 ** 18, 10 ** 18), st.sampled_from([0, 1, 2, 60, 61]))
real = st.one_of(st.floats(), st.floats(-0.5, 1.5), st.integers(-2, 3).map(float),
                 st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e308, math.nextafter(1, 2), math.nextafter(1, 0), math.nan,
                                  math.inf, -math.inf]))


@st.composite
def options(draw):
    """An option, the text of its value, the value as the program would show it, and whether it is allowed."""
    option = draw(st.sampled_from([*WHOLE, *REAL, *WORDS]))
    if option in WORDS:
        word = draw(st.sampled_from([*WORDS[option], *WORDS[option], "ADD", "", "lion", "0", "float16"]))
        return option, word, word, word in WORDS[option]
    if draw(st.integers(0, 7)) == 0:
        text = draw(no_number)
        return option, text, text, False
    if option in WHOLE:
        value = draw(whole)
        least, most = WHOLE[option]
        return option, str(value), str(value), ((least <= value <= most and (option != "--heads" or 8 % value == 0))
                                                or (option == "--snapshots" and value == 0))
    value = draw(real)
    return option, repr(value), repr(value), REAL[option](value)


class Accepted(Exception):
    """The settings have reached training."""


class TestOptions:
    """Each value is either accepted or refused with its option, itself and exit code 2; nothing is in between."""

    BASE = ["--p=11", "--width=8", "--steps=3"]
    MODELS = {"--depth": ["--model=relu-mlp"], "--heads": ["--model=transformer"]}  # those that have it

    @MANY
    @given(options())
    def test_of_every_value(self, tmp_path, monkeypatch, capsys, option):
        def accept(*arguments):
            raise Accepted

        name, text, shown, allowed = option
        out = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(grok, "train", accept)
            try:
                code = run(*self.BASE, *self.MODELS.get(name, []), f"{name}={text}", "--out", out)
            except Accepted:
                code = 0
        output = capsys.readouterr()
        if allowed:
            assert (code, output.err) == (0, "")
            out.rmdir()
            return
        assert code == 2
        assert output.out == ""
        message = output.err.splitlines()[-1]
        assert message.startswith("grok.py: error: ")
        assert name in message
        assert shown in message
        assert "Traceback" not in output.err
        assert list(tmp_path.iterdir()) == []

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(options().filter(lambda option: option[3]))
    def test_that_are_allowed_train(self, tmp_path, capsys, option):
        name, text, _, _ = option
        if name in ("--p", "--width", "--depth", "--steps") and int(text) > 30:
            text = "30"  # allowed as it is, but no machine has the memory or the time for 10^18 of them
        out = tmp_path / "run"
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code = run(*self.BASE, *self.MODELS.get(name, []), f"{name}={text}", "--out", out)
        lines = capsys.readouterr().err.splitlines()
        shutil.rmtree(out)
        caveats = [line for line in lines if line.startswith("grok.py: warning: learning rate x weight decay is ")]
        factor = {"--lr": 15, "--weight-decay": 0.01}.get(name, 0)  # the default of the other of the two
        assert len(caveats) == (factor and float(text) * factor >= 1)
        others = [line for line in lines if line not in caveats]
        if code == 3:
            assert name in ("--lr", "--weight-decay")
            assert len(others) == 1
            assert "the run has diverged" in others[0]
        else:
            assert (code, others) == (0, [])

    @pytest.mark.parametrize(("text", "answer"), [
        ("--p=1" + 200 * "0", "--p must be at most 46340, got 1000"), ("--p=46341", "--p must be at most 46340"),
        ("--width=1" + 13 * "0", "--width must be at most 1000000"), ("--depth=1001", "--depth must be at most 1000"),
        ("--width=1000000 --model=relu-mlp", "there is not enough memory for a run of this size: Unable to allocate")])
    def test_that_no_memory_could_hold_get_a_clear_answer(self, tmp_path, capsys, text, answer):
        assert run(*self.BASE, *text.split(), "--out", tmp_path / "runs" / "run") == 2
        message = capsys.readouterr().err
        assert message.startswith(f"grok.py: error: {answer}")
        assert message.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
