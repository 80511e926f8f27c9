"""How far the estimators of divergences can be trusted, on pairs whose divergences are known."""
