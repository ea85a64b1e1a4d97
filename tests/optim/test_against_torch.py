"""Another framework's optimisers as judges, with the same gradients at every step."""

import numpy as np
import pytest

from optim import SGD, Adam, AdamW
from tests.optim import rules

torch = pytest.importorskip("torch")

RATE, DECAY = 0.02, 0.7
PAIRS = {
    "sgd": (SGD, lambda groups: torch.optim.SGD(groups, lr=RATE, momentum=0.9)),
    "adam": (Adam, lambda groups: torch.optim.Adam(groups, lr=RATE, betas=(0.9, 0.98), eps=1e-8)),
    "adamw": (AdamW, lambda groups: torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), eps=1e-8)),
}


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS)
def test_twenty_steps_agree(ours, theirs, decay):
    store = rules.store()
    weights = {name: torch.tensor(view.copy(), requires_grad=True) for name, view in store.named(store.flat).items()}
    judge = theirs([{"params": [weight], "weight_decay": decay if name in rules.DECAYED else 0.0}
                    for name, weight in weights.items()])
    optimizer = ours(store, RATE, decay)
    for row in rules.gradients(store):
        for name, gradient in store.named(row).items():
            weights[name].grad = torch.tensor(gradient)
        judge.step()
        optimizer.step(row)
    for name, weight in weights.items():
        np.testing.assert_allclose(store[name], weight.detach().numpy(), rtol=1e-12, atol=1e-12)
