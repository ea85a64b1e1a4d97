"""The phases a run can end in, told from its final accuracies.

With corruption xi, a network that has learnt the rule and nothing else agrees with a share 1 - xi of its training
labels (and with the few replaced labels that are right by chance). In shares of one, the paper's rules are

    test >= 0.9:   coexistence         train >= 0.9                 the rule and the wrong labels are both learnt
                   partial inversion   0.9 > train >= 1.05 - xi     some wrong labels are unlearnt
                   full inversion      train < 1.05 - xi            all of them: test accuracy exceeds train accuracy
    test <  0.9:   memorization        train >= 0.9
                   forgetting          test accuracy had once reached 0.9 and was lost
                   confusion           it never had

Where 1.05 - xi >= 0.9, that is for xi <= 0.15, there is no room for partial inversion.

References
----------
Doshi et al. (arXiv 2310.13061), appendix C.
"""

from __future__ import annotations

import math

COEXISTENCE, PARTIAL_INVERSION, FULL_INVERSION = "coexistence", "partial inversion", "full inversion"
MEMORIZATION, FORGETTING, CONFUSION = "memorization", "forgetting", "confusion"
PHASES = (COEXISTENCE, PARTIAL_INVERSION, FULL_INVERSION, MEMORIZATION, FORGETTING, CONFUSION)

LEARNT = 0.9  # the accuracy that counts as having learnt
INVERSION_MARGIN = 0.05  # full inversion ends this far above the accuracy 1 - xi of the rule alone
# Accuracies are multiples of one over the number of examples; what differs by less has been rounded, as 1.05 - 0.35 is.
ROUNDING = 1e-6


def phase(train_accuracy: float, test_accuracy: float | None, xi: float, best_test_accuracy: float) -> str | None:
    """The phase of a finished run.

    Parameters
    ----------
    train_accuracy, test_accuracy : float in [0, 1]
        At the end of the run, train accuracy on the labels trained on. The test accuracy is None or NaN where there is
        no test set.
    xi : float in [0, 1]
        The share of training labels that were replaced.
    best_test_accuracy : float in [0, 1]
        The highest test accuracy of the whole run.

    Returns
    -------
    phase : one of PHASES, or None without a test set
    """
    if test_accuracy is None or math.isnan(test_accuracy):
        return None
    if _reaches(test_accuracy, LEARNT):
        if _reaches(train_accuracy, LEARNT):
            return COEXISTENCE
        return PARTIAL_INVERSION if _reaches(train_accuracy, 1 + INVERSION_MARGIN - xi) else FULL_INVERSION
    if _reaches(train_accuracy, LEARNT):
        return MEMORIZATION
    return FORGETTING if _reaches(best_test_accuracy, LEARNT) else CONFUSION


def _reaches(accuracy: float, threshold: float) -> bool:
    return accuracy >= threshold - ROUNDING
