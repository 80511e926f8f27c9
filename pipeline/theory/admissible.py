"""Random admissible objectives: what a law of the theory must hold for, and not only the catalogue.

A pair (omega, rho) is admissible when omega is strictly monotone in r with an inverse, rho has one sign on
omega's range, that of omega', and phi, psi stay finite for raw outputs |v| <= 50 in float32. It is so here
by construction, never by trying and rejecting. With k, c, a, d > 0, exponents p, b, e and a shift s drawn as
small fractions, the families of pairs are

| family | omega(r) | Omega | rho(t), up to a factor |
|---|---|---|---|
| exponential | k log(c r) | R | exp(-b t/k), 0 < b < 1 |
| logistic | k log(c r) | R | 1/(1 + d exp(t/k)) |
| blend | k log(c r) | R | 1/(1 + d exp(t/k)) + a exp(-b t/k) |
| cauchy | k log(c r) | R | 1/(d + t^2), 1/sqrt(d + t^2), exp(-b t/k) (2 + tanh(t)); no closed integral |
| power | c r^p | (0, oo) | t^b, t^b + a t^e; t = exp(v), exp(v/2) or softplus(v) |
| saturating | c r | (0, oo) | 1/(d + t) |
| inverse_power | -c r^-p | (-oo, 0) | (-t)^b |
| shifted_power | s + c r^p | (s, oo) | (t - s)^b |
| probability | r/(c + r) | (0, 1) | 1/t, 1/t + a, 1 - t, t (1 - t), (1 - t)^2 |
| root_probability | sqrt(r)/(c + sqrt(r)) | (0, 1) | (1 - t)^2, t (1 - t)^2 |
| square_probability | (r/(c + r))^2, sqrt(r/(c + r)) | (0, 1) | 1/sqrt(t); t, 1/t |
| regression | (b + a c r)/(1 + c r) | R | (a - t), (a - t)(d + t^2); omega falls for a < b |
| logarithm | log(1 + c r) | (0, oo) | exp(-t), exp(-3 t/2), exp(-2 t), exp(-t) + a exp(-2 t) |
| reflected_logarithm | -log(1 + c/r) | (-oo, 0) | 1, 1 - exp(t), (1 - exp(t))^2, exp(t) (1 - exp(t)) |
| survival | -(1 + c r)^-p, 1 - (1 + c r)^-1/2 | (-1, 0), (0, 1) | t^2, -t; (1 - t)^-1/2 |
| root | sqrt(1 + c r) | (1, oo) | t^-2, t^-5/2, t^-3 |

and a fifth of most is mirrored, t -> -t, so that omega falls and rho < 0. The families of f are

| family | f(u), up to a factor | f'(u*) = t |
|---|---|---|
| entropy | u log(c u) | u* = exp(.) |
| burg | -log(u + d) | u* + d = -1/. |
| power | sign(p (p - 1)) u^p, p <= 1/2 | u* = power |
| shifted_power | -(u + d)^p, 0 < p < 1 | u* + d = power |
| hyperbola | (u + d)^-m | u* + d = power |
| logistic | u log(u) - (u + m) log(u + m) | u* = m exp(.)/(1 - exp(.)) |
| triangle | (u - 1)^2/(u + d) | u* + d = (1 - .)^-1/2 |

The families that a formula language reaches have closed forms whose rounding is understood; sums such as
omega = r - 1/r are admissible too, but their inverse cancels in float64.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np

Draw = np.random.Generator
Spec = dict[str, Any]

_MIRRORED: Final = 0.2


def random_pairs(count: int, seed: int) -> list[Spec]:
    """`count` different admissible (omega, rho), as mappings for `objective_from_spec`.

    The families take turns, so that 16 pairs meet each of them; the numbers in them, and which are mirrored,
    come from `numpy.random.Generator(seed)`. Raises ValueError for more than there are.
    """
    return _distinct(PAIRS, count, np.random.default_rng(seed), ("omega", "rho"))


def random_fs(count: int, seed: int) -> list[Spec]:
    """`count` different strictly convex f with an invertible f', as mappings for `objective_from_spec`."""
    return _distinct(FS, count, np.random.default_rng(seed), ("f",))


def _distinct(
    families: tuple[Callable[[Draw], Spec], ...], count: int, rng: Draw, keys: tuple[str, ...]
) -> list[Spec]:
    found: dict[tuple[str, ...], Spec] = {}
    for turn in range(1000 + 20 * count):
        if len(found) == count:
            return list(found.values())
        family = families[turn % len(families)]
        spec = family(rng)
        found.setdefault(tuple(spec[key] for key in keys), {**spec, "title": family.__name__.strip("_")})
    raise ValueError(f"{count} different objectives are more than the families hold; found {len(found)}")


def _of(rng: Draw, *choices: str | int) -> Fraction:
    """One of the numbers, each a text such as "2/3"."""
    return Fraction(choices[int(rng.integers(len(choices)))])


def _factor(rng: Draw) -> Fraction:
    return _of(rng, "1/3", "1/2", "2/3", 1, "3/2", 2, 3)


def _pair(omega: str, rho: str, low: str, high: str, activation: str | None = None) -> Spec:
    spec = {"construction": "likelihood_ratio", "omega": omega, "rho": rho, "domain": [low, high]}
    return {**spec, **({"activation": activation} if activation else {}), "citation": "drawn at random"}


def _mirrored(rng: Draw, spec: Spec) -> Spec:
    """Now and then `reflected(spec)`."""
    return reflected(spec) if rng.random() < _MIRRORED else spec


def reflected(spec: Spec) -> Spec:
    """The same game with the critic's sign turned, t -> -t: omega falls where it rose, d is the same.

    It is the swap of the labels "real" and "fake" in what the critic is asked. Needs omega, rho and domain.
    """
    low, high = spec["domain"]
    swapped = {
        **spec,
        "omega": f"-({spec['omega']})",
        "rho": f"-({_turned(spec['rho'])})",
        "domain": [_negative(str(high)), _negative(str(low))],
    }
    for key in ("alpha", "beta"):
        if key in spec:
            swapped[key] = _turned(spec[key])
    if "activation" in spec:
        swapped["activation"] = f"-({spec['activation']})"
    return swapped


def _turned(text: str | int) -> str:
    return re.sub(r"\bt\b", "(-t)", str(text))


def _negative(bound: str) -> str:
    return bound[1:] if bound.startswith("-") else bound if bound == "0" else f"-{bound}"


def _log_ratio(rng: Draw) -> tuple[str, Fraction]:
    """`k log(c r)` and k."""
    k, c = _of(rng, 1, "3/2", 2, 3), _of(rng, "1/3", "1/2", 1, 2, 3)
    return f"{k}*log({c}*r)", k


def _exponential(rng: Draw) -> Spec:
    omega, k = _log_ratio(rng)
    b = _of(rng, "1/4", "1/3", "1/2", "2/3", "3/4")
    return _mirrored(rng, _pair(omega, f"{_factor(rng)}*exp(-t*({b / k}))", "-oo", "oo"))


def _logistic(rng: Draw) -> Spec:
    omega, k = _log_ratio(rng)
    return _mirrored(rng, _pair(omega, f"{_factor(rng)}/(1 + {_factor(rng)}*exp(t*({1 / k})))", "-oo", "oo"))


def _blend(rng: Draw) -> Spec:
    k = _of(rng, 1, 2)
    rho = f"1/(1 + {_of(rng, 1, 2, 3)}*exp(t*({1 / k}))) + {_factor(rng)}*exp(-t*({1 / (2 * k)}))"
    return _mirrored(rng, _pair(f"{k}*log(r)", rho, "-oo", "oo"))


def _cauchy(rng: Draw) -> Spec:
    omega, k = _log_ratio(rng)
    d = _of(rng, 1, 2, 3)
    shapes = (f"1/({d} + t**2)", f"1/sqrt({d} + t**2)", f"exp(-t*({1 / (2 * k)}))*({d + 1} + tanh(t))")
    return _pair(omega, shapes[int(rng.integers(len(shapes)))], "-oo", "oo")


def _power(rng: Draw) -> Spec:
    """Of t = exp(v), psi grows as t^(b + 1) and phi as t^(1/p + b + 1): both exponents within 3/2."""
    p = _of(rng, "1/2", "2/3", 1, "3/2", 2)
    activation = (None, "exp(v/2)", "log(1 + exp(v))")[int(rng.integers(3))]
    lowest = -9 if activation == "log(1 + exp(v))" else -15  # t^b itself is a factor of the gradient there
    thirds = [Fraction(n, 6) for n in range(lowest, 4) if n % 2 == 0 or n % 3 == 0]
    allowed = [b for b in thirds if abs(b + 1) <= Fraction(3, 2) and abs(1 / p + b + 1) <= Fraction(3, 2)]
    b, e = (allowed[int(rng.integers(len(allowed)))] for _ in range(2))
    rho = f"{_factor(rng)}*t**({b})"
    if e != b and rng.random() < 0.4:
        rho += f" + {_factor(rng)}*t**({e})"
    return _mirrored(rng, _pair(f"{_factor(rng)}*r**({p})", rho, "0", "oo", activation))


def _saturating(rng: Draw) -> Spec:
    rho = f"{_factor(rng)}/({_factor(rng)} + t)"
    return _mirrored(rng, _pair(f"{_factor(rng)}*r", rho, "0", "oo"))


def _inverse_power(rng: Draw) -> Spec:
    """psi grows as (-t)^(b + 1) and phi as (-t)^(b + 1 - 1/p), where t = -exp(-v)."""
    p = _of(rng, "1/2", "2/3", 1, 2)
    b = _of(rng, "-1/2", "-1/3", 0, "1/3", "1/2")
    return _mirrored(rng, _pair(f"-{_factor(rng)}*r**(-{p})", f"{_factor(rng)}*(-t)**({b})", "-oo", "0"))


def _shifted_power(rng: Draw) -> Spec:
    p, s = _of(rng, 1, 2), _of(rng, -2, -1, "-1/2", "1/2", 1, 3)
    b = _of(rng, "-3/2", "-4/3", "-5/3", -1) if p == 1 else _of(rng, "-1/2", "-3/4", -1, "-5/4")
    rho = f"{_factor(rng)}*(t - ({s}))**({b})"
    return _pair(f"{s} + {_factor(rng)}*r**({p})", rho, f"{s}", "oo")


def _probability(rng: Draw) -> Spec:
    shapes = ("1/t", f"1/t + {_factor(rng)}", "1 - t", "t*(1 - t)", "(1 - t)**2")
    rho = shapes[int(rng.integers(len(shapes)))]
    c = _factor(rng)
    return _mirrored(rng, _pair(f"r/({c} + r)", f"{_factor(rng)}*({rho})", "0", "1"))


def _root_probability(rng: Draw) -> Spec:
    c, rho = _factor(rng), ("(1 - t)**2", "t*(1 - t)**2")[int(rng.integers(2))]
    return _mirrored(rng, _pair(f"sqrt(r)/({c} + sqrt(r))", f"{_factor(rng)}*{rho}", "0", "1"))


def _square_probability(rng: Draw) -> Spec:
    c, a = _factor(rng), _factor(rng)
    if rng.random() < 0.4:
        return _pair(f"(r/({c} + r))**2", f"{a}/sqrt(t)", "0", "1", "sigmoid(v)**2")
    rho = ("t", "1/t")[int(rng.integers(2))]
    return _pair(f"sqrt(r/({c} + r))", f"{a}*{rho}", "0", "1", "sqrt(sigmoid(v))")


def _regression(rng: Draw) -> Spec:
    """Squared distance to the targets a (fake) and b (real), weighted; rho has one sign on omega's range."""
    a, b, c = _of(rng, -2, -1, 0, "1/2"), _of(rng, "2/3", 1, 2), _factor(rng)
    weight = f"*({_of(rng, 1, 2)} + t**2)" if rng.random() < 0.3 else ""
    return _pair(f"({b} + ({a * c})*r)/(1 + {c}*r)", f"{_factor(rng)}*({a} - t){weight}", "-oo", "oo")


def _logarithm(rng: Draw) -> Spec:
    shapes = ("exp(-t)", "exp(-3*t/2)", "exp(-2*t)", f"exp(-t) + {_factor(rng)}*exp(-2*t)")
    rho, c = shapes[int(rng.integers(len(shapes)))], _factor(rng)
    return _mirrored(rng, _pair(f"log(1 + {c}*r)", f"{_factor(rng)}*({rho})", "0", "oo", "log(1 + exp(v))"))


def _reflected_logarithm(rng: Draw) -> Spec:
    shapes = ("1", "1 - exp(t)", "(1 - exp(t))**2", "exp(t)*(1 - exp(t))")
    rho, c = shapes[int(rng.integers(len(shapes)))], _factor(rng)
    pair = _pair(f"-log(1 + {c}/r)", f"{_factor(rng)}*({rho})", "-oo", "0", "-log(1 + exp(-v))")
    return _mirrored(rng, pair)


def _survival(rng: Draw) -> Spec:
    c, a = _factor(rng), _factor(rng)
    if rng.random() < 0.3:
        activation = "1 - 1/sqrt(1 + exp(v))"
        return _pair(f"1 - 1/sqrt(1 + {c}*r)", f"{a}/sqrt(1 - t)", "0", "1", activation)
    if rng.random() < 0.5:
        return _mirrored(rng, _pair(f"-1/sqrt(1 + {c}*r)", f"{a}*t**2", "-1", "0", "-1/sqrt(1 + exp(v))"))
    return _mirrored(rng, _pair(f"-1/(1 + {c}*r)", f"-{a}*t", "-1", "0", "-1/(1 + exp(v))"))


def _root(rng: Draw) -> Spec:
    c, b = _factor(rng), _of(rng, 2, "5/2", 3)
    pair = _pair(f"sqrt(1 + {c}*r)", f"{_factor(rng)}*t**(-{b})", "1", "oo", "sqrt(1 + exp(v))")
    return _mirrored(rng, pair)


PAIRS: Final = (
    _exponential,
    _logistic,
    _blend,
    _cauchy,
    _power,
    _saturating,
    _inverse_power,
    _shifted_power,
    _probability,
    _root_probability,
    _square_probability,
    _regression,
    _logarithm,
    _reflected_logarithm,
    _survival,
    _root,
)


def _convex(text: str) -> Spec:
    return {"construction": "f_divergence", "f": text, "citation": "drawn at random"}


def _line(rng: Draw) -> str:
    """A linear term: it changes no divergence, but moves Omega."""
    return f" + ({_of(rng, -2, '-1/3', '1/3', 1)})*u" if rng.random() < 0.5 else ""


def _entropy(rng: Draw) -> Spec:
    return _convex(f"{_of(rng, '2/3', 1, '3/2', 2)}*u*log({_of(rng, '1/2', 1, 3)}*u){_line(rng)}")


def _burg(rng: Draw) -> Spec:
    return _convex(f"-{_factor(rng)}*log(u + {_of(rng, 0, '1/2', 1, 2)}){_line(rng)}")


def _power_f(rng: Draw) -> Spec:
    p = _of(rng, -1, "-1/2", "-1/3", "1/4", "1/3", "1/2")
    return _convex(f"{'-' if p > 0 else ''}{_factor(rng)}*u**({p})")


def _shifted_power_f(rng: Draw) -> Spec:
    return _convex(f"-{_factor(rng)}*(u + {_of(rng, '1/2', 1, 3)})**({_of(rng, '1/3', '1/2')})")


def _hyperbola(rng: Draw) -> Spec:
    return _convex(f"{_factor(rng)}*(u + {_of(rng, '1/2', 1, 2)})**(-{_of(rng, '1/2', 1, 2)})")


def _logistic_f(rng: Draw) -> Spec:
    m = _of(rng, "1/2", 1, "3/2", 2, "5/2", 3, 4, 5)
    return _convex(f"u*log(u) - (u + {m})*log(u + {m})")


def _triangle(rng: Draw) -> Spec:
    return _convex(f"{_factor(rng)}*(u - 1)**2/(u + {_of(rng, '1/2', 1, 2)}){_line(rng)}")


FS: Final = (_entropy, _burg, _power_f, _shifted_power_f, _hyperbola, _logistic_f, _triangle)
