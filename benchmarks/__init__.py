"""Measurements. Each prints ratios of things measured side by side in one run; absolute figures are this machine's."""
