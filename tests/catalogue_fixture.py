"""A catalogue of 28 objectives and 31 variants, written down by hand in the layout of study.json.

It stands for what the derivations will say, for the tests of figures and paper: formulas of a realistic
length, limits of every kind, objectives without omega, without a slope and without a known divergence.
Nothing here is checked mathematics.
"""

from typing import Any

GOODFELLOW = "Goodfellow et al. 2014, Generative adversarial nets, NeurIPS 27"
NOWOZIN = "Nowozin, Cseke & Tomioka 2016, f-GAN, NeurIPS 29, arXiv 1606.00709, table 2"
BASIOTI = "Basioti & Moustakides 2020, Designing GANs: a likelihood ratio approach, arXiv 2002.00865"
LR, F, IPM, DIRECT, PAIRED = (
    *("likelihood_ratio", "f_divergence", "integral_probability_metric", "direct", "paired"),
)
SOFTPLUS, SOFTMINUS = "ln(1 + e^t)", "ln(1 + e^(-t))"
JSD = ("jensen_shannon", "2 JSD(p, q)", '2 op("JSD")(p, q)')
KL_REVERSE = ("reverse_kl", "KL(q || p)", 'op("KL")(q || p)')
KL = ("kl", "KL(p || q)", 'op("KL")(p || q)')
D_GAN = "2 ln(2) - r ln(1 + frac(1, r)) - ln(1 + r)"

# name: title, construction, citation, given, phi, psi, beta (None: psi), omega, d, divergence, slope (text,
# Typst), limits at 0 and infinity, high on real.
_ROWS: dict[str, tuple[Any, ...]] = {
    "minimax": (
        *("Minimax", LR, GOODFELLOW, {"omega": "ln(r)", "rho": "frac(1, 1 + e^t)"}),
        *(f"-{SOFTPLUS}", f"-{SOFTMINUS}", None, "ln(r)", D_GAN, JSD),
        *("1/(1 + r)", "frac(1, 1 + r)", "1", "0", False),
    ),
    "minimax_probability": (
        *("Minimax, probability", LR, GOODFELLOW, {"omega": "frac(r, 1 + r)", "rho": "frac(1, t)"}),
        *("ln(1 - t)", "ln(t)", None, "frac(r, 1 + r)", D_GAN, JSD),
        *("1/(1 + r)", "frac(1, 1 + r)", "1", "0", False),
    ),
    "non_saturating": (
        *("Non-saturating", LR, GOODFELLOW, {"omega": "ln(r)", "rho": "frac(1, 1 + e^t)"}),
        *(f"-{SOFTPLUS}", f"-{SOFTMINUS}", SOFTPLUS, "ln(r)", "(1 + r) ln(frac(1 + r, 2))", None),
        *("r/(1 + r)", "frac(r, 1 + r)", "0", "1", False),
    ),
    "logit_generator": (
        *("Logit generator", LR, GOODFELLOW, {"omega": "ln(r)", "rho": "frac(1, 1 + e^t)"}),
        *(f"-{SOFTPLUS}", f"-{SOFTMINUS}", "t", "ln(r)", "r ln(r)", KL_REVERSE),
        *("1", "1", "1", "1", False),
    ),
    "least_squares": (
        *("Least squares", LR, "Mao et al. 2017, Least squares generative adversarial networks, ICCV"),
        *({"omega": "frac(b + a r, 1 + r)", "rho": "a - t"}, "-frac((t - 1)^2, 2)", "-frac(t^2, 2)"),
        *("frac((t - 1)^2, 2)", "frac(1, 1 + r)", "frac(r^3, 2 (1 + r)^2) - frac(1, 8)", None),
        *("r**2/(1 + r)**3", "frac(r^2, (1 + r)^3)", "0", "0", True),
    ),
    "least_squares_centred": (
        *("Least squares, centred", LR, "Mao et al. 2017, Least squares generative adversarial networks"),
        *({"omega": "frac(b + a r, 1 + r)", "rho": "a - t"}, "-frac((t - 1)^2, 2)", "-frac((t + 1)^2, 2)"),
        *("frac(t^2, 2)", "frac(1 - r, 1 + r)", "frac(r (1 - r)^2, 2 (1 + r)^2)", None),
        *("2*r*abs(1 - r)/(1 + r)**3", "frac(2 r abs(1 - r), (1 + r)^3)", "0", "0", True),
    ),
    "exponential": (
        *("Exponential", LR, BASIOTI, {"omega": "ln(r)", "rho": "frac(e^(-frac(t, 2)), 2)"}),
        *("-e^(frac(t, 2))", "-e^(-frac(t, 2))", None, "ln(r)", "2 - 2 sqrt(r)"),
        *(("squared_hellinger", "H^2(p, q)", "H^2 (p, q)"), "1/(2*sqrt(r))", "frac(1, 2 sqrt(r))"),
        *("oo", "0", False),
    ),
    "ratio_reverse_kl": (
        *("Reverse KL by ratio", LR, BASIOTI, {"omega": "r", "rho": "frac(1, t)"}),
        *("-t", "ln(t)", None, "r", "1 + r ln(r) - r", KL_REVERSE, "1", "1", "1", "1", False),
    ),
    "ratio_forward_kl": (
        *("Forward KL by ratio", LR, BASIOTI, {"omega": "-frac(1, r)", "rho": "1"}),
        *("ln(-t)", "t", None, "-frac(1, r)", "-ln(r)", KL, "1/r", "frac(1, r)", "oo", "0", True),
    ),
    "power": (
        *("Power", LR, BASIOTI, {"omega": "r^a", "rho": "frac(1, t)", "parameters": "a = frac(1, 2)"}),
        *("-t", "ln(t)", None, "sqrt(r)", "2 + r ln(r) - 2 sqrt(r)", None, "1/2", "frac(1, 2)"),
        *("1/2", "1/2", False),
    ),
    "mean_square": (
        *("Mean square", LR, BASIOTI, {"omega": "r", "rho": "1"}, "-frac(t^2, 2)", "t", None, "r"),
        *("frac(r^2, 2) - frac(1, 2)", ("neyman_chi2", "chi2(q, p)/2", "frac(1, 2) chi^2 (q, p)")),
        *("r", "r", "0", "oo", False),
    ),
    "logistic_power": (
        *("Logistic power", LR, BASIOTI, {"omega": "frac(r^a, 1 + r^a)", "rho": "frac(1, t)"}),
        *("1 + frac(1, t - 1) - ln(1 - t)", "ln(t)", None, "frac(sqrt(r), 1 + sqrt(r))"),
        *("1 + ln(1 + sqrt(r)) - sqrt(r) - r ln(1 + frac(1, sqrt(r)))", None),
        *("1/(2*(1 + sqrt(r)))", "frac(1, 2 (1 + sqrt(r)))", "1/2", "0", False),
    ),
    "maximum_likelihood": (
        *("Maximum likelihood", LR, "Goodfellow 2016, NIPS 2016 tutorial, arXiv 1701.00160, exercise 8.3"),
        *({"omega": "ln(r)", "rho": "frac(1, 1 + e^t)"}, f"-{SOFTPLUS}", f"-{SOFTMINUS}", "-e^(-t)"),
        *("ln(r)", "0", None, "1/r", "frac(1, r)", "oo", "0", False),
    ),
    "kl": (
        *("KL", F, NOWOZIN, {"f": "u ln(u)"}, "t", "-e^(t - 1)", None, "1 - ln(r)", "-ln(r)", KL),
        *("1/r", "frac(1, r)", "oo", "0", True),
    ),
    "reverse_kl": (
        *("Reverse KL", F, NOWOZIN, {"f": "-ln(u)"}, "t", "1 + ln(-t)", None, "-r", "r ln(r)", KL_REVERSE),
        *("1", "1", "1", "1", True),
    ),
    "pearson_chi2": (
        *("Pearson χ²", F, NOWOZIN, {"f": "(u - 1)^2"}, "t", "-frac(t^2, 4) - t", None),
        *("frac(2, r) - 2", "frac((r - 1)^2, r)", ("pearson_chi2", "chi2(p, q)", "chi^2 (p, q)")),
        *("2/r**2", "frac(2, r^2)", "oo", "0", True),
    ),
    "neyman_chi2": (
        *("Neyman χ²", F, NOWOZIN, {"f": "frac((1 - u)^2, u)"}, "t", "2 sqrt(1 - t) - 2", None),
        *("1 - r^2", "(r - 1)^2", ("neyman_chi2", "chi2(q, p)", "chi^2 (q, p)"), "2*r", "2 r"),
        *("0", "oo", True),
    ),
    "squared_hellinger": (
        *("Squared Hellinger", F, NOWOZIN, {"f": "(sqrt(u) - 1)^2"}, "t", "1 + frac(1, t - 1)", None),
        *("1 - sqrt(r)", "(sqrt(r) - 1)^2", ("squared_hellinger", "H^2(p, q)", "H^2 (p, q)")),
        *("1/(2*sqrt(r))", "frac(1, 2 sqrt(r))", "oo", "0", True),
    ),
    "jensen_shannon": (
        *("Jensen–Shannon", F, NOWOZIN, {"f": "u ln(u) - (u + 1) ln(frac(1 + u, 2))"}, "t"),
        *("ln(2 - e^t)", None, "ln(2) - ln(1 + r)"),
        *("ln(2) r + ln(2) - r ln(1 + frac(1, r)) - ln(1 + r)", JSD, "1/(1 + r)", "frac(1, 1 + r)"),
        *("1", "0", True),
    ),
    "gan": (
        *("GAN divergence", F, NOWOZIN, {"f": "u ln(u) - (u + 1) ln(u + 1)"}, "t"),
        *("ln(1 - e^t) + 2 ln(2)", None, "-ln(1 + r)"),
        *("2 ln(2) r - r ln(1 + frac(1, r)) - ln(1 + r)", JSD, "1/(1 + r)", "frac(1, 1 + r)", "1", "0", True),
    ),
    "jeffrey": (
        *("Jeffrey", F, NOWOZIN, {"f": "(u - 1) ln(u)"}, "t"),
        *("-t - frac(1, W(e^(1 - t))) - W(e^(1 - t)) + 2", None, "1 - ln(r) - r"),
        *("(r - 1) ln(r)", ("jeffrey", "KL(p || q) + KL(q || p)", "op(\"KL\")(p || q) + op(\"KL\")(q || p)")),
        *("1 + 1/r", "1 + frac(1, r)", "oo", "1", True),
    ),
    "total_variation": (
        *("Total variation", F, NOWOZIN, {"f": "frac(abs(u - 1), 2)"}, "t", "-t", None),
        *("frac(op(\"sign\")(1 - r), 2)", "frac(abs(r - 1), 2)"),
        *(("total_variation", "TV(p, q)", "op(\"TV\")(p, q)"), "0", "0", "0", "0", True),
    ),
    "alpha": (
        *("α-divergence", F, NOWOZIN, {"f": "frac(u^a - 1 - a (u - 1), a (a - 1))", "parameters": "a = 2"}),
        *("t", "2 + frac(4, t - 2)", None, "2 - 2 sqrt(r)", "2 (sqrt(r) - 1)^2"),
        *(("alpha", "alpha-divergence", "D_alpha (p, q)"), "1/(2*sqrt(r))", "frac(1, 2 sqrt(r))"),
        *("oo", "0", True),
    ),
    "wasserstein": (
        *("Wasserstein", IPM, "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, ICML"),
        *({}, "t", "-t", None, None, None, None, None, None, None, None, True),
    ),
    "hinge": (
        *("Hinge", DIRECT, "Lim & Ye 2017, Geometric GAN, arXiv 1705.02894"),
        {"phi": '-op("relu")(1 - t)', "psi": '-op("relu")(1 + t)', "beta": "-t"},
        *('-op("relu")(1 - t)', '-op("relu")(1 + t)', "-t", 'op("sign")(1 - r)', "abs(r - 1) + r - 1"),
        *(("total_variation", "2 TV(p, q)", '2 op("TV")(p, q)'), "0", "0", "0", "0", True),
    ),
    "gan_qp": (
        *("GAN-QP", PAIRED, "Su 2018, GAN-QP, arXiv 1811.07296", {"phi": "delta - frac(delta^2, 20 ell)"}),
        *("delta - frac(delta^2, 20 ell)", None, "delta", None, None, None, None, None, None, None, True),
    ),
    "relativistic": (
        *("Relativistic", PAIRED, "Jolicoeur-Martineau 2019, Relativistic GAN, arXiv 1807.00734"),
        *({"phi": "-ln(1 + e^(-delta))"}, "-ln(1 + e^(-delta))", None, "delta"),
        *(None, None, None, None, None, None, None, True),
    ),
    "relativistic_average": (
        *("Relativistic, average", PAIRED, "Jolicoeur-Martineau 2019, arXiv 1807.00734"),
        *({"phi": "-ln(1 + e^(-delta))"}, "-ln(1 + e^(-delta))", None, "delta"),
        *(None, None, None, None, None, None, None, True),
    ),
}  # fmt: skip
_OWN_TITLES = {
    "non_saturating_r1": ("Non-saturating + R1", "non_saturating"),
    "wgan_gp": ("WGAN-GP", "wasserstein"),
    "wgan_clip": ("WGAN, clipped", "wasserstein"),
    "minimax_r1": ("Minimax + R1", "minimax"),
}
# 31 variants: every objective but wasserstein under its own name, and four with a recipe of their own.
VARIANTS = {
    name: (row[0], name) for name, row in _ROWS.items() if name != "wasserstein"
} | _OWN_TITLES  # fmt: skip
OBJECTIVES = tuple(_ROWS)


def derived(name: str) -> dict[str, Any]:
    """An entry of study.json's `objectives`; a name that is not in the catalogue looks like minimax."""
    row = _ROWS.get(name, (name.replace("_", " ").capitalize(), *_ROWS["minimax"][1:]))
    title, construction, citation, given, phi, psi, beta, omega, d, divergence, slope, slope_typst = row[:12]
    zero, infinity, real_is_high = row[12:]
    return {
        "name": name,
        "title": title,
        "construction": construction,
        "citation": citation,
        "needs_lipschitz": construction == IPM,
        "real_is_high": real_is_high,
        "given": {key: value for key, value in given.items() if key != "parameters"}
        | ({"parameters": {"a": 0.5}} if "parameters" in given else {}),
        "typst": {
            "domain": "(-infinity, infinity)",
            "activation": "v",
            **{key: value for key, value in given.items() if key in ("rho", "f")},
            "phi": phi,
            "psi": psi,
            "beta": beta or psi,
            "omega": omega,
            "d": d,
        },
        "checks": {"maximum": [0.0, "r = 1"], "divergence_at_one": [0.0, "r = 1"]},
        "analysis": {
            "divergence": divergence
            and {
                "name": divergence[0],
                "title": divergence[0].replace("_", " ").capitalize(),
                "factor": 1.0,
                "factor_formula": "1",
                "shift": 0.0,
                "text": divergence[1],
                "typst": divergence[2],
            },
            "frozen": slope
            and {
                "formula": "r*log(r)",
                "typst": "r ln(r)",
                "same_as_total": beta is None,
                "divergence": None,
                "statement": f"Made up: frozen and total of {title} differ.",
            },
            "slope": slope and {"formula": slope, "typst": slope_typst},
            "limits": slope and {"zero": _limit(zero), "infinity": _limit(infinity)},
        },
    }


def _limit(value: str) -> dict[str, Any]:
    typst = {"oo": "infinity", "1/2": "frac(1, 2)"}.get(value, value)
    return {"value": value, "typst": typst, "vanishes": value == "0"}
