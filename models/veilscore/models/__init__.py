"""Scorecards: binning, points, training across holders, measures of quality."""
