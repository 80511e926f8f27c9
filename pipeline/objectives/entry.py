"""One entry of objectives.yaml: its formulas read, with errors that name the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.formula import RESERVED, parse_bound, parse_formula
from pipeline.objectives.formulas import Domain, V
from pipeline.objectives.objective import Objective

Text = str | int | float
Bounds = tuple[Text, Text] | list[Text]


@dataclass(frozen=True)
class Entry:
    """One entry's name, place and parameters: reads its formulas with errors that name the field."""

    name: str
    where: str
    parameters: Mapping[str, sp.Expr]

    @classmethod
    def read(cls, name: str, where: str, parameters: Mapping[str, Text] | None) -> "Entry":
        place = f"{where}: {name}" if where else name
        given = {} if parameters is None else parameters
        if not isinstance(given, Mapping):
            raise UserError(f"{place}.parameters: a mapping from names to numbers is expected")
        values = {}
        for key, value in given.items():
            if not (isinstance(key, str) and key.isidentifier()) or key in RESERVED:
                raise UserError(f"{place}.parameters: {key!r} cannot be a parameter's name; it is taken")
            values[key] = parse_formula(value, {}, f"{place}.parameters.{key}")
        return cls(name, where, values)

    def field(self, name: str) -> str:
        return f"{self.where}: {self.name}.{name}" if self.where else f"{self.name}.{name}"

    def formula(self, field: str, text: Text, *symbols: sp.Symbol) -> sp.Expr:
        names = {symbol.name: symbol for symbol in symbols}
        return parse_formula(text, {**names, **self.parameters}, self.field(field))

    def activation(self, text: Text | None, domain: Domain) -> sp.Expr:
        return domain.default_activation if text is None else self.formula("activation", text, V)

    def domain(self, bounds: Bounds) -> Domain:
        where = self.field("domain")
        if isinstance(bounds, str) or not isinstance(bounds, list | tuple) or len(bounds) != 2:
            raise UserError(f"{where}: two bounds are expected, as in [-oo, oo]")
        low, high = (parse_bound(b, f"{where} (a number, oo or -oo)", self.parameters) for b in bounds)
        if not bool(low < high):
            raise UserError(f"{where}: the lower bound {low} is not below the upper bound {high}")
        return Domain(low, high)

    def build(
        self, construction: str, title: str, citation: str, spec: Mapping[str, Any], **more: Any
    ) -> Objective:
        return Objective(
            name=self.name,
            construction=construction,
            title=title or self.name.replace("_", " ").capitalize(),
            citation=citation,
            spec={
                "construction": construction,
                **{key: value for key, value in spec.items() if value is not None and value != ""},
                "citation": citation,
            },
            where=self.where,
            **more,
        )
