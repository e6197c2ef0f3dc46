"""What the tests of the teaching functions share: what was printed, predictions made by hand."""

import numpy as np
import pandas as pd


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def predictions(shift=0.0, noise=0.02, subjects=8, seeds=((0, 0),), quality="dice", dataset="organ", domains=3):
    """Two heads on three targets: `plain` errs by `noise`; `adversarial` by half of it, and is `shift` too high."""
    rng = np.random.default_rng(0)
    rows = []
    for d in range(domains):
        for subject in range(subjects):
            for number in range(4):
                true = rng.uniform(0.2, 0.95)
                for pair in seeds:
                    error = rng.normal(0, noise)
                    for method, value in (("plain", true + error), ("adversarial", true + error / 2 + shift)):
                        key = dict(dataset=dataset, domain=f"t{d}", subject=f"p{subject}", phase="", slice=number)
                        key |= dict(quality=quality, method=method, segmenter_seed=pair[0], head_seed=pair[1])
                        rows.append(key | dict(estimates=True, true_score=true, predicted_score=value))
    return pd.DataFrame(rows)
