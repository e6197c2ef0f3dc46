"""What a protocol has found, with tables made by hand."""

import pandas as pd

from advconf_lite.evaluation.answer import RIVALS, Compared

BETTER, OPEN, WORSE = (-0.02, -0.03, -0.01), (-0.01, -0.03, 0.01), (0.02, 0.01, 0.03)
NOTHING = (float("nan"),) * 3


def protocol(name, methods, shift="massive", sealed=False, segmenters=5):
    """`methods`: name -> (eAURC, MAE) against both rivals."""
    rows = []
    for method, (eaurc, mae) in methods.items():
        for other in RIVALS:
            row = {"method": method, "against": other, "segmenters": segmenters, "pairs_of_seeds": 15}
            for metric, values in (("eaurc", eaurc), ("mae", mae)):
                row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), values))
            rows.append(row)
    costs = {"adversarial": (2000.0, 1.0), "new": (3000.0, 1.0), "many": (0.0, 16.0)}
    return Compared(f"evidence-{name}", shift, sealed, pd.DataFrame(rows), costs)
