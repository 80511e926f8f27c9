"""How far estimates can be trusted: estimators and sample averages where the truth is known."""
