"""`python -m layers.gradcheck`: what it prints, refuses, and ends with."""

import pytest

from backend import BackendError
from layers import Square
from layers.cases import CASES
from layers.gradcheck import main
from layers.mistakes import MISTAKES, Mistake


def test_the_command_prints_a_table_and_succeeds(capsys):
    assert main(["--layer", "linear/BIAS"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["layer", "tensor"]
    for words in ("one run", "R = 3", "R = 5", "at kinks", "verdict"):
        assert words in header
    assert [line.split()[:2] for line in lines[:3]] == [["Linear/bias", name] for name in ("W", "b", "x")]
    assert all(line.endswith("ok") for line in lines[:3])
    assert len({line.index("ok") for line in lines[:3]}) == 1
    assert "all 9 tensors agree" in lines[-1]
    assert "0 left out at kinks" in lines[-1]


def test_a_prefix_chooses_several_layers_and_stack_chooses_one_stack(capsys):
    assert main(["--layer", "Linear", "--stack", "2"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("Linear/bias", "Linear/no-bias", "Linear/square", "R = 2"))
    assert "one run" not in out.splitlines()[0]
    assert main(["--layer", "Square", "--stack", "0"]) == 0
    assert "one run" in capsys.readouterr().out


def test_seeds_change_the_numbers_and_nothing_else(capsys):
    outs = []
    for seed in ("0", "0", "7"):
        assert main(["--layer", "GELU", "--seed", seed]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] != outs[2]


def test_show_prints_both_derivatives_side_by_side(capsys):
    assert main(["--show", "LayerNorm"]) == 0
    out = capsys.readouterr().out
    assert out.count("numeric") == 3
    assert "LayerNorm gamma, one run" in out
    assert "[0, 3]" in out


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_explained_and_fails_the_command(name, capsys):
    assert main(["--plant", name, "--stack", "0"]) == 1
    out = capsys.readouterr().out
    assert MISTAKES[name].explanation in out
    assert out.index("Right:") < out.index("Planted:") < out.index("WRONG")
    assert "tensors WRONG" in out.splitlines()[-1]


class WrongInParts(Square):
    """Wrong in the last of three methods, of which the right layer has two."""

    def forward(self, x, cache, mode=None):
        return super().forward(x, cache, mode)

    def backward(self, dy, cache, grads):
        return self.factor() * super().backward(dy, cache, grads)

    def factor(self):
        return 0.5


def test_a_mistake_in_several_methods_is_explained_by_all_of_them(monkeypatch, capsys):
    monkeypatch.setitem(MISTAKES, "in-parts", Mistake("Square", WrongInParts))
    assert main(["--plant", "in-parts", "--stack", "0"]) == 1
    right, planted = capsys.readouterr().out.split("Right:")[1].split("Planted:")
    assert [text.count("def ") for text in (right, planted)] == [2, 3]
    assert right.index("def forward") < right.index("def backward")
    assert "0.5" in planted


@pytest.mark.parametrize(("arguments", "message"), [
    (["--layer", "Convolution"], "LayerNorm"), (["--show", "Convolution"], "LayerNorm"),
    (["--plant", "gremlin"], "relu-in-place"), (["--stack", "-1"], "got '-1'"), (["--stack", "two"], "got 'two'"),
    (["--seed", "-3"], "got '-3'"), (["--layer", "ReLU", "--plant", "relu-in-place"], "not allowed with"),
    (["--backend", "abacus"], "numpy")])
def test_options_that_make_no_sense_are_refused_with_the_choices(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_backend_is_one_line_on_stderr(monkeypatch, capsys):
    def missing(*_):
        raise BackendError("backend cupy needs CuPy")

    monkeypatch.setattr("layers.gradcheck.open_device", missing)
    assert main(["--backend", "cupy", "--layer", "Square"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "gradcheck: backend cupy needs CuPy\n"
    assert not captured.out


def test_help_describes_layers_and_mistakes(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "examples:" in out
    assert all(name in out for name in (*CASES, *MISTAKES))


@pytest.mark.usefixtures("strict_cupy")
@pytest.mark.parametrize("stack", ["0", "2"])
def test_the_check_keeps_host_and_device_apart(stack, capsys):
    assert main(["--backend", "cupy", "--layer", "TwoLayerNetwork/batch-norm", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--layer", "ReLU", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--layer", "CrossEntropy", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--plant", "pair-embedding-overwrites", "--stack", stack]) == 1


@pytest.mark.gpu
def test_the_check_passes_on_a_gpu(capsys):
    assert main(["--backend", "cupy", "--stack", "0"]) == 0
