"""What the paper prints of the critic and the game in function space: plain JSON values from the tables."""

from typing import Any

from pipeline.figures.tables import Results, to_records

MINIMAX = "minimax"
ENDED = 1e-12  # total variation: where a game ends


def collect(results: Results) -> dict[str, Any]:
    """critic: of free_critic.csv; network: of trained_critic_1d.csv; value: of function_space.csv; game: of
    free_game.csv. Objectives are lists of their titles in study.json, or their names in words.
    """
    return {
        "critic": _critic(results),
        "network": _network(results),
        "value": _value(results),
        "game": _game(results),
    }


def _critic(results: Results) -> dict[str, Any]:
    table = results.theory(
        "free_critic",
        "objective grid pair cells starts steps error_max spread_max value_spread value_gap alone_error_max "
        "alone_value_gap curvature_max",
    )
    minimax, bent = table[table.objective == MINIMAX], table[table.curvature_max >= 0]
    ratios = table[table.error_max.notna()]
    return {
        "objectives": int(table.objective.nunique()),
        "inverted": int(ratios.objective.nunique()),
        "steps_only": results.objective_titles(table[table.error_max.isna()].objective),
        "pairs": int(table[["grid", "pair"]].drop_duplicates().shape[0]),
        "starts": int(table.starts.max()),
        "most_steps": int(ratios.steps.max()),
        "most_steps_minimax": int(minimax.steps.max()),
        "error_max": float(table.error_max.max()),
        "error_max_minimax": float(minimax.error_max.max()),
        "spread_max": float(table[["spread_max", "value_spread"]].max().max()),
        "value_gap_max": float(table.value_gap.max()),
        "alone_max": float(table[["alone_error_max", "alone_value_gap"]].max().max()),
        "curvature_max_minimax": float(minimax.curvature_max.max()),
        "not_concave": results.objective_titles(bent.objective),
    }


def _network(results: Results) -> dict[str, Any]:
    table = results.theory("trained_critic_1d", "pair seed updates error_mean error_bulk_max")
    return {
        "networks": len(table),
        "pairs": int(table.pair.nunique()),
        "updates": int(table.updates.max()),
        "error_median": float(table.error_mean.median()),
        "error_max": float(table.error_mean.max()),
        "error_bulk_max": float(table.error_bulk_max.max()),
    }


def _value(results: Results) -> dict[str, Any]:
    table = results.theory("function_space", "q value_reached_nats value_gap_nats")
    others, equal = (table[(table.q == "equal") == is_equal].value_reached_nats for is_equal in (False, True))
    return {
        "densities": len(table),
        "gap_max": float(table.value_gap_nats.max()),
        "at_equal": float(equal.min()),
        "smallest_elsewhere": float(others.min()),
        "smallest_excess": float(others.min() - equal.min()),
    }


def _game(results: Results) -> dict[str, Any]:
    table = results.theory(
        "free_game",
        "objective grid cells starts updates tv_to_p_median tv_to_p_max discriminator_off_half_max value_gap "
        "tv_slower_median rate rate_predicted",
    )
    minimax, away = table[table.objective == MINIMAX], table[table.tv_to_p_max > ENDED]
    arrived = table[~table.objective.isin(away.objective)]
    known = table.dropna(subset=["rate", "rate_predicted"])
    titles = dict(zip(dict.fromkeys(away.objective), results.objective_titles(away.objective), strict=True))
    steps = set(table.objective[table.rate_predicted.isna()])
    columns = ["objective", "grid", "tv_to_p_median", "tv_slower_median"]
    return {
        "objectives": int(table.objective.nunique()),
        "cells": {row["grid"]: row["cells"] for row in to_records(minimax)},
        "starts": int(table.starts.max()),
        "updates_minimax": int(minimax.updates.max()),
        "tv_max_minimax": float(minimax.tv_to_p_max.max()),
        "off_half_max_minimax": float(minimax.discriminator_off_half_max.max()),
        "arrived": int(arrived.objective.nunique()),
        "most_updates_arrived": int(arrived.updates.max()) if len(arrived) else None,
        "off_half_max_arrived": float(arrived.discriminator_off_half_max.max()) if len(arrived) else None,
        "rate_gap_max": float((known.rate - known.rate_predicted).abs().max()) if len(known) else None,
        "rate_minimax": float(minimax.rate.max()) if minimax.rate.notna().any() else None,
        "away": [
            {
                **row,
                "title": titles[row["objective"]],
                "is_step": row["objective"] in steps,
            }
            for row in to_records(away[columns])
        ],
    }
