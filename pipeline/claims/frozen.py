"""The claim on a generator with a loss of its own, judged from gradients with the critic held fixed: W7."""

import math

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, objectives_named
from pipeline.claims.minimum import passing_normalised
from pipeline.claims.results import Results
from pipeline.errors import UserError

_TABLE = "theory/frozen_and_total.csv"


def _may_use_another_loss(results: Results, limit: Thresholds) -> Finding:
    passing = passing_normalised(results, limit["allowance"])
    rows = [
        row for row in results.rows(_TABLE, "objective", "frozen", "total") if row["objective"] in passing
    ]
    # An empty cell is an infinite integral, or one beyond float64: it points nowhere, and supports nothing.
    known = [row for row in rows if row["frozen"] and row["total"]]
    if not known:
        raise UserError(f"{results.folder / _TABLE}: no gradient of an objective that passes the test")
    worst: dict[str, tuple[float, str]] = {}
    changed = set()
    for row in known:
        frozen, total = float(row["frozen"]), float(row["total"])
        share = frozen / abs(total) if total else math.copysign(math.inf, frozen) if frozen else 0.0
        place = f"{row['parameter']} {row['value']}"
        if row["objective"] not in worst or share < worst[row["objective"]][0]:
            worst[row["objective"]] = (share, place)
        if abs(frozen - total) > limit["away"] * abs(total):
            changed.add(row["objective"])
    away = [name for name, (share, _) in worst.items() if share < -limit["away"]]
    towards = len(known) == len(rows) and all(float(row["frozen"]) > 0 for row in known)
    verdict: Verdict = "contradicted" if away else "supported" if towards else "inconclusive"
    own = [name for name in worst if name in changed]
    reading = (
        f"Of the {len(worst)} objectives that pass the test, {len(own)} follow another gradient than that of "
        f"their d: {objectives_named(results, own)}. "
    )
    if away:
        reading += "Held fixed, the critic drives away from the data " + "; ".join(
            f"{objectives_named(results, [name])} (at {worst[name][1]}, with {-worst[name][0]:.2g} of the "
            "total derivative's size)"
            for name in away
        )
    else:
        reading += "With the critic held fixed none of them is driven away from the data"
    return Finding(
        verdict,
        [
            Evidence("objectives", float(len(worst)), "objectives"),
            Evidence("with_another_gradient", float(len(own)), "objectives"),
            Evidence("driven_away", float(len(away)), "objectives"),
            *(
                Evidence(
                    f"smallest_share_{name}",
                    worst[name][0] if math.isfinite(worst[name][0]) else None,
                    "of the total derivative",
                )
                for name in own
            ),
        ],
        reading + ".",
    )


JUDGES = {"W7": Judge(_may_use_another_loss, frozenset({"away", "allowance"}))}
