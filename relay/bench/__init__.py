"""`relay bench`: the relay beside its peers, measured in one run and told as ratios."""
