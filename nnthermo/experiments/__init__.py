"""Numerical experiments of the papers, each from settings to a report."""
